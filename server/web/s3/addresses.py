"""Addresses: which bucket and key a request is about, with the bucket in the path or in the host's name."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from server.domain.downloads.keyed_downloads import KeyedFile
from server.domain.identity.s3_keys import BUCKET
from server.domain.publish.checkpoints import CHECKPOINT_ID, MAIN
from server.web.s3.refusals import Fault

KEY_BYTES_AT_MOST = 1024


@dataclass(frozen=True, slots=True)
class Address:
    """bucket: "" for the list of buckets. key: "" for the bucket itself."""

    bucket: str
    key: str


def parse(path: str, host: str, door_url: str) -> Address:
    """Return what a decoded path at a host is about. Raises Fault: NoSuchBucket, KeyTooLongError."""
    name = urlsplit(door_url).hostname or ""
    if host.partition(":")[0].lower() == f"{BUCKET}.{name}":
        bucket, key = BUCKET, path.removeprefix("/")
    else:
        bucket, _, key = path.removeprefix("/").partition("/")
    if bucket not in {"", BUCKET} or (key and not bucket):
        raise Fault("NoSuchBucket", f"There is one bucket here, and it is called {BUCKET}.")
    if len(key.encode()) > KEY_BYTES_AT_MOST:
        raise Fault("KeyTooLongError", f"A key has at most {KEY_BYTES_AT_MOST} bytes.")
    return Address(bucket, key)


def file_of(key: str) -> KeyedFile:
    """Return which file a key names. Raises Fault: NoSuchKey, of a key that can name none."""
    stage, checkpoint, path = split(key)
    if not path:
        raise Fault("NoSuchKey", "Keys are MODEL/STAGE/PATH, or MODEL/STAGE@CHECKPOINT/PATH.")
    return KeyedFile(stage, checkpoint, path)


def split(key: str) -> tuple[str, str, str]:
    """Return `model/stage`, the checkpoint's id or `main`, and the path; what is not there is empty."""
    model, _, rest = key.partition("/")
    named, _, path = rest.partition("/")
    stage, at, checkpoint = named.partition("@")
    # `main` is what a key without a checkpoint names; written out, it would be a second name of the same.
    known = checkpoint if CHECKPOINT_ID.fullmatch(checkpoint) else "none"
    return f"{model}/{stage}", known if at else MAIN, path
