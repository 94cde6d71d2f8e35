"""Objects against a real SeaweedFS: what is stored is what was hashed, and every failure has a type of ours."""

import base64
import hashlib
import io
import os
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from server.storage import keys
from server.storage.embedded import REGION, EmbeddedStore, free_port
from server.storage.keys import S3Credentials
from server.storage.objects import (
    MIB,
    ChecksumMismatch,
    ObjectStore,
    ObjectStoreError,
    ObjectStoreRefused,
    ObjectStoreUnavailable,
    S3Objects,
    part_size_bytes,
)


def objects_as(credentials: S3Credentials, endpoint_url: str, bucket: str = "weights") -> S3Objects:
    return S3Objects(
        endpoint_url=endpoint_url, region=REGION, bucket=bucket, addressing="path", credentials=credentials
    )


@pytest.fixture
def objects(embedded_store: EmbeddedStore) -> Iterator[S3Objects]:
    credentials = keys.read_s3_credentials(embedded_store.publisher_key_file)
    with objects_as(credentials, embedded_store.endpoint_url) as store:
        yield store


@pytest.fixture
def prefix() -> str:
    """A place of this test's own in the shared bucket."""
    return f"objects/{uuid.uuid4().hex}/"


def make_file(folder: Path, size_bytes: int) -> tuple[Path, str]:
    path = folder / f"{size_bytes}.bin"
    path.write_bytes(os.urandom(size_bytes))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def sent(_: int) -> None:
    """Progress that nobody watches."""


@pytest.mark.parametrize("size_bytes", [0, 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 48 * MIB, 90 * MIB + 7])
def test_what_is_uploaded_comes_back(objects: S3Objects, prefix: str, tmp_path: Path, size_bytes: int) -> None:
    """A file of any size arrives whole, the store shows its size and hash, and the progress adds up."""
    path, sha256_hex = make_file(tmp_path, size_bytes)
    steps: list[int] = []
    info = objects.upload(prefix + "file", path, sha256_hex, size_bytes, steps.append)
    assert (info.size_bytes, info.sha256_hex) == (size_bytes, sha256_hex)
    assert sum(steps) == size_bytes
    assert hashlib.sha256(objects.get_bytes(prefix + "file")).hexdigest() == sha256_hex
    assert objects.head(prefix + "file") == info


@pytest.mark.parametrize("size_bytes", [1000, 40 * MIB])
@pytest.mark.parametrize("change", ["flip", "shorten", "lengthen"])
def test_a_file_that_changed_since_it_was_hashed_is_refused(
    objects: S3Objects, prefix: str, tmp_path: Path, size_bytes: int, change: str
) -> None:
    """A changed file makes no object and leaves no unfinished upload."""
    path, sha256_hex = make_file(tmp_path, size_bytes)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(
        {"flip": bytes(content), "shorten": bytes(content[:-1]), "lengthen": bytes(content) + b"x"}[change]
    )
    with pytest.raises(ChecksumMismatch, match="publish again"):
        objects.upload(prefix + "file", path, sha256_hex, size_bytes, sent)
    assert objects.head(prefix + "file") is None
    assert objects.abort_uploads(prefix) == 0


def test_a_file_that_changes_while_it_is_sent_is_refused(objects: S3Objects, prefix: str, tmp_path: Path) -> None:
    """The bytes that are sent are the bytes that are hashed, so a change during the upload is seen before its end."""
    path, sha256_hex = make_file(tmp_path, 160 * MIB)

    def overwrite_the_end(_: int) -> None:
        with path.open("r+b") as stream:
            stream.seek(-10, os.SEEK_END)
            stream.write(b"0123456789")

    with pytest.raises(ChecksumMismatch):
        objects.upload(prefix + "file", path, sha256_hex, 160 * MIB, overwrite_the_end)
    assert objects.head(prefix + "file") is None
    assert objects.abort_uploads(prefix) == 0


def test_an_interrupted_upload_leaves_nothing(objects: S3Objects, prefix: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a file aborts its upload at the store."""
    path, sha256_hex = make_file(tmp_path, 100 * MIB)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        objects.upload(prefix + "file", path, sha256_hex, 100 * MIB, interrupt)
    assert objects.head(prefix + "file") is None
    assert objects.abort_uploads(prefix) == 0


def damage(request: Any, **_: Any) -> None:
    """Change a bit after our checksum was made and before botocore signs: only the checksum can tell the store."""
    content = request.data.read()
    request.data = io.BytesIO(bytes([content[0] ^ 1]) + content[1:])


@pytest.mark.parametrize(("operation", "size_bytes"), [("PutObject", 1000), ("UploadPart", 40 * MIB)])
def test_the_store_refuses_bytes_of_another_checksum(
    objects: S3Objects, prefix: str, tmp_path: Path, operation: str, size_bytes: int
) -> None:
    """Bytes damaged on the way are refused by the store itself, in a whole file as in a part."""
    path, sha256_hex = make_file(tmp_path, size_bytes)
    objects._client.meta.events.register(f"before-sign.s3.{operation}", damage)
    with pytest.raises(ChecksumMismatch, match="BadDigest"):
        objects.upload(prefix + "file", path, sha256_hex, size_bytes, sent)
    assert objects.head(prefix + "file") is None
    assert objects.abort_uploads(prefix) == 0


@pytest.mark.parametrize("size_bytes", [1000, 40 * MIB])
def test_a_publish_resumes_with_what_is_already_there(
    objects: S3Objects, prefix: str, tmp_path: Path, size_bytes: int
) -> None:
    """An object is skipped only if it is this file: not when absent, and not when only its metadata says so."""
    path, sha256_hex = make_file(tmp_path, size_bytes)
    key = prefix + "file"
    assert objects.already_there(key, path, sha256_hex, size_bytes) is None
    lie = bytes(size_bytes)
    objects._client.put_object(
        Bucket="weights",
        Key=key,
        Body=lie,
        ChecksumSHA256=base64.b64encode(hashlib.sha256(lie).digest()).decode(),
        Metadata={"sha256": sha256_hex},
    )
    assert objects.already_there(key, path, sha256_hex, size_bytes) is None
    info = objects.upload(key, path, sha256_hex, size_bytes, sent)
    assert objects.already_there(key, path, sha256_hex, size_bytes) == info


def test_resuming_with_a_changed_file_is_refused(objects: S3Objects, prefix: str, tmp_path: Path) -> None:
    """A file that is no longer the one that was hashed is never taken for the object that is there."""
    path, sha256_hex = make_file(tmp_path, 1000)
    objects.upload(prefix + "file", path, sha256_hex, 1000, sent)
    path.write_bytes(bytes(1000))
    with pytest.raises(ChecksumMismatch):
        objects.already_there(prefix + "file", path, sha256_hex, 1000)


def test_unfinished_uploads_under_a_prefix_are_aborted(objects: S3Objects, prefix: str) -> None:
    """What a killed publish left is cleared under its own prefix, and nowhere else."""
    mine, other = prefix + "mine/", prefix + "other/"
    for key in (mine + "a", mine + "b", other + "c"):
        objects._client.create_multipart_upload(Bucket="weights", Key=key)
    assert objects.abort_uploads(mine) == 2
    assert objects.abort_uploads(mine) == 0
    assert objects.abort_uploads(other) == 1


def test_small_objects_are_put_listed_read_and_deleted(objects: ObjectStore, prefix: str) -> None:
    """A small object is read as it was put, listed by its prefix, and gone after it was deleted, once or twice."""
    for number in range(3):
        objects.put_bytes(f"{prefix}{number}", b"content %d" % number)
    assert objects.list_keys(prefix) == [f"{prefix}{number}" for number in range(3)]
    assert objects.get_bytes(f"{prefix}1") == b"content 1"
    objects.delete(f"{prefix}1")
    objects.delete(f"{prefix}1")
    assert objects.head(f"{prefix}1") is None
    with pytest.raises(KeyError):
        objects.get_bytes(f"{prefix}1")


def test_the_bucket_is_made_once(embedded_store: EmbeddedStore) -> None:
    """A bucket that is not there is made; making it again changes nothing."""
    credentials = keys.read_s3_credentials(embedded_store.publisher_key_file)
    name = f"made-{uuid.uuid4().hex[:8]}"
    with objects_as(credentials, embedded_store.endpoint_url, name) as objects:
        assert not objects.bucket_reachable()
        objects.ensure_bucket()
        objects.ensure_bucket()
        assert objects.bucket_reachable()


def test_the_stores_clock_is_read(objects: S3Objects) -> None:
    """The time is aware UTC and the store's, which here is this machine's own."""
    assert abs(objects.server_time() - datetime.now(UTC)) < timedelta(seconds=3)


def test_the_stores_clock_is_read_from_a_refusal_too(embedded_store: EmbeddedStore) -> None:
    """A clock that is so wrong that its signatures are refused can still learn the right time."""
    with objects_as(S3Credentials("UNKNOWN", "wrong"), embedded_store.endpoint_url) as objects:
        assert abs(objects.server_time() - datetime.now(UTC)) < timedelta(seconds=3)


ACTS: list[Callable[[S3Objects, Path], object]] = [
    lambda objects, _: objects.bucket_reachable(),
    lambda objects, _: objects.ensure_bucket(),
    lambda objects, _: objects.head("k"),
    lambda objects, path: objects.upload("k", path, hashlib.sha256(path.read_bytes()).hexdigest(), 1000, sent),
    lambda objects, _: objects.list_keys("k"),
    lambda objects, _: objects.delete("k"),
    lambda objects, _: objects.abort_uploads("k"),
    lambda objects, _: objects.put_bytes("k", b"x"),
    lambda objects, _: objects.get_bytes("k"),
]


@pytest.mark.parametrize("act", ACTS)
def test_wrong_credentials_are_a_refusal_without_secrets(
    embedded_store: EmbeddedStore, tmp_path: Path, act: Callable[[S3Objects, Path], object]
) -> None:
    """A 403 is ObjectStoreRefused, its text shows no secret or signature, and nothing of botocore hangs on to it."""
    path, _ = make_file(tmp_path, 1000)
    known = keys.read_s3_credentials(embedded_store.publisher_key_file).access_key_id
    objects = objects_as(S3Credentials(known, "wrong-secret"), embedded_store.endpoint_url)
    with objects, pytest.raises(ObjectStoreRefused) as refusal:
        act(objects, path)
    text = str(refusal.value).lower()
    assert "refused to" in text
    assert not any(word in text for word in ("wrong-secret", "signature=", "x-amz", "http"))
    assert "botocore" not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("act", [*ACTS, lambda objects, _: objects.server_time()])
def test_a_store_that_is_down_is_unavailable_within_seconds(
    tmp_path: Path, act: Callable[[S3Objects, Path], object]
) -> None:
    """Nothing listens: ObjectStoreUnavailable, soon, and with a text that says what to check."""
    path, _ = make_file(tmp_path, 1000)
    began = time.monotonic()
    objects = objects_as(S3Credentials("A", "secret"), f"http://127.0.0.1:{free_port()}")
    with objects, pytest.raises(ObjectStoreUnavailable, match="check that it is running") as failure:
        act(objects, path)
    assert time.monotonic() - began < 8
    assert "botocore" not in "".join(traceback.format_exception(failure.value))


def test_a_proxy_of_the_environment_does_not_see_a_loopback_store(
    embedded_store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY and AWS_ENDPOINT_URL of the surroundings do not lead the requests elsewhere."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, nowhere)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    credentials = keys.read_s3_credentials(embedded_store.publisher_key_file)
    with objects_as(credentials, embedded_store.endpoint_url) as objects:
        assert objects.bucket_reachable()


@pytest.mark.parametrize("size_bytes", [16 * MIB, 10**9, 50 * 10**9, 10**12, 5 * 10**12])
def test_parts_stay_within_the_stores_limits(size_bytes: int) -> None:
    """Never more than 10,000 parts, nor a part below S3's 5 MiB; and 16 MiB each up to 50 GB."""
    part = part_size_bytes(size_bytes)
    assert -(-size_bytes // part) <= 10_000
    assert part >= 5 * MIB
    assert part == 16 * MIB or size_bytes > 50 * 10**9


def test_every_error_is_one_of_ours() -> None:
    """Callers catch one base class, and none of botocore's."""
    for kind in (ObjectStoreUnavailable, ObjectStoreRefused, ChecksumMismatch):
        assert issubclass(kind, ObjectStoreError)
        assert not issubclass(kind, ClientError)
