"""The embedded store's signer key, replaced while the store runs: every URL that the old one signed dies."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from server.storage import keys
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreUnavailable

LEARNS_WITHIN_SECONDS = 10


def rotate_signer(folder: Path, works: Callable[[S3Credentials], bool]) -> S3Credentials:
    """Give the running store in `folder` another signer key, and write it where the signers follow it.

    works: whether the store takes a key by now. Both keys work until the new one is in the file, so nobody is refused
    but by the old key's end. If we crash in between, the store's next start takes what the file holds.
    Raises ObjectStoreUnavailable when the store does not run or does not learn the key; then the old one stays.
    """
    file = folder / "keys" / "signer-s3.json"
    old, new = keys.read_s3_credentials(file), keys.new_s3_credentials()
    _teach(folder, old, new)
    gives_up = time.monotonic() + LEARNS_WITHIN_SECONDS
    while not works(new):
        if time.monotonic() > gives_up:
            _teach(folder, old)
            raise ObjectStoreUnavailable("the embedded store did not learn a new signer key: restart it, and try again")
        time.sleep(0.02)
    replacement = file.with_suffix(".new")
    replacement.unlink(missing_ok=True)  # of a crash
    keys.write_s3_credentials(replacement, new)
    replacement.replace(file)
    _teach(folder, new)
    return new


def _teach(folder: Path, *signers: S3Credentials) -> None:
    """Have the store take exactly these keys for its signer's. SeaweedFS reads its identities again at SIGHUP."""
    weed = _process_id(folder)
    path = folder / "conf" / "s3.json"
    identities = json.loads(path.read_bytes())
    for identity in identities["identities"]:
        if identity["name"] == "signer":
            pairs = [{"accessKey": one.access_key_id, "secretKey": one.secret_access_key} for one in signers]
            identity["credentials"] = pairs
    replacement = path.with_suffix(".new")
    replacement.unlink(missing_ok=True)
    keys.write_private(replacement, json.dumps(identities, indent=2).encode())
    replacement.replace(path)
    os.kill(weed, signal.SIGHUP)


def _process_id(folder: Path) -> int:
    """SeaweedFS' own, as the store wrote it down. Its lock is held as long as it lives: the number is nobody else's."""
    not_running = ObjectStoreUnavailable("the embedded store is not running: start it, and try again")
    try:
        descriptor = os.open(folder / "run" / "lock", os.O_RDWR)
    except OSError:
        raise not_running from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 100).split()[0])
    finally:
        os.close(descriptor)
    raise not_running
