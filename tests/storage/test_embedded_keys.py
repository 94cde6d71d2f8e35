"""Another signer key for a running embedded store: what the old one signed dies, and nobody else notices."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.storage import embedded_keys, keys, probes
from server.storage.embedded import REGION, EmbeddedStore, free_port
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreUnavailable
from server.storage.objects import S3Objects
from tests.stores import signed_url

KEY = "checkpoints/a/b/c"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path / "store", free_port(), "weights") as running:
        with publisher(running) as objects:
            objects.put_bytes(KEY, b"weights")
        yield running


def publisher(store: EmbeddedStore) -> S3Objects:
    return S3Objects(
        endpoint_url=store.endpoint_url, region=REGION, bucket="weights", addressing="path",
        credentials=keys.read_s3_credentials(store.publisher_key_file),
    )  # fmt: skip


def status(store: EmbeddedStore, credentials: S3Credentials) -> int:
    return probes.status_of(signed_url(store, KEY, credentials))


def test_the_old_key_dies_and_the_new_one_works(store: EmbeddedStore, tmp_path: Path) -> None:
    """The publisher's key goes on, twice in a row, and a restart of the store keeps the newest."""
    known = [keys.read_s3_credentials(store.signer_key_file)]
    for _ in range(2):
        known.append(embedded_keys.rotate_signer(tmp_path / "store", lambda key: status(store, key) == 200))
        assert keys.read_s3_credentials(store.signer_key_file) == known[-1]
        ends_at = time.monotonic() + 10  # the store reads its keys again a moment after it was told to
        while [status(store, key) for key in known] != [403] * (len(known) - 1) + [200]:
            assert time.monotonic() < ends_at, "an old key still works, or the new one does not"
            time.sleep(0.05)
        with publisher(store) as objects:
            objects.put_bytes("checkpoints/a/b/d", b"more")
    store.stop()
    store.start()
    assert [status(store, key) for key in known] == [403, 403, 200]


def test_a_key_that_the_store_does_not_learn_changes_nothing(
    store: EmbeddedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one stays in its file and works: signing must not go on with a key that opens nothing."""
    monkeypatch.setattr(embedded_keys, "LEARNS_WITHIN_SECONDS", 0)
    known = keys.read_s3_credentials(store.signer_key_file)
    with pytest.raises(ObjectStoreUnavailable, match="did not learn"):
        embedded_keys.rotate_signer(tmp_path / "store", lambda _: False)
    assert keys.read_s3_credentials(store.signer_key_file) == known
    assert status(store, known) == 200


def test_a_store_that_does_not_run_keeps_its_key(store: EmbeddedStore, tmp_path: Path) -> None:
    """Its process's number may be somebody else's by now: no signal is sent."""
    known = keys.read_s3_credentials(store.signer_key_file)
    store.stop()
    with pytest.raises(ObjectStoreUnavailable, match="not running"):
        embedded_keys.rotate_signer(tmp_path / "store", lambda _: True)
    assert keys.read_s3_credentials(store.signer_key_file) == known
    with pytest.raises(ObjectStoreUnavailable, match="not running"):
        embedded_keys._process_id(tmp_path)
