"""Real object stores for tests."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from server.domain import marks
from server.storage import keys
from server.storage.embedded import REGION, EmbeddedStore, free_port
from server.storage.keys import S3Credentials
from server.storage.objects import S3Objects
from server.storage.signing import StoredObject
from server.storage.signing_s3 import S3Signer


def process_ids(store: EmbeddedStore) -> list[int]:
    """Process groups of the running children, each named by its leader: SeaweedFS, then its proxy."""
    return [child.pid for child in (store._weed, store._nginx) if child is not None]


@pytest.fixture(scope="session")
def embedded_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """One embedded store for all tests of this process; its bucket is `weights`. A test keeps to keys of its own."""
    with EmbeddedStore(tmp_path_factory.mktemp("embedded") / "store", free_port(), "weights") as store:
        yield store


@pytest.fixture
def unmarked_store(embedded_store: EmbeddedStore) -> Iterator[EmbeddedStore]:
    """The same, for an instance of its own: its bucket bears nobody's mark, before and after."""
    publisher = keys.read_s3_credentials(embedded_store.publisher_key_file)
    with S3Objects(
        endpoint_url=embedded_store.endpoint_url, region="us-east-1", bucket="weights", addressing="path",
        credentials=publisher,
    ) as weights:  # fmt: skip
        weights.delete(marks.OBJECT_KEY)
        yield embedded_store
        weights.delete(marks.OBJECT_KEY)


def signed_url(
    store: EmbeddedStore, key: str, credentials: S3Credentials | None = None, *, age_seconds: int = 0,
    download_id: str = "dl_0123456789",
) -> str:  # fmt: skip
    """A URL of one object for a minute, by the store's signer or by another key."""
    signer = S3Signer(
        endpoint_url=store.endpoint_url, region=REGION, bucket="weights", addressing="path",
        credentials=credentials or keys.read_s3_credentials(store.signer_key_file), clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    made_at = datetime.now(UTC) - timedelta(seconds=age_seconds)
    return signer.sign([StoredObject(key)], download_id=download_id, lifetime_seconds=60, moment=made_at)[0]
