"""The key for uploads on the embedded store: it opens its prefix, and neither a checkpoint nor anything else."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from server.storage import keys
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.objects import ObjectStoreError, S3Objects
from server.storage.uploads import UploadObjects
from tests.attached import put
from tests.uploads import sha256

WEIGHTS = "checkpoints/gpt-2/774M/0/model.safetensors"
CONTENT = b"what partners download"


def objects_with(store: EmbeddedStore, kind: type[S3Objects], key_file: Any) -> Any:
    return kind(
        endpoint_url=store.endpoint_url, region=REGION, bucket="weights", addressing="path", attempts=1,
        credentials=keys.read_s3_credentials(key_file),
    )  # fmt: skip


@pytest.fixture
def publisher(embedded_store: EmbeddedStore) -> Iterator[UploadObjects]:
    with objects_with(embedded_store, UploadObjects, embedded_store.publisher_key_file) as objects:
        objects.put_bytes(WEIGHTS, CONTENT)
        yield objects
        objects.delete(WEIGHTS)


@pytest.fixture
def uploads(embedded_store: EmbeddedStore, publisher: UploadObjects) -> Iterator[UploadObjects]:
    with objects_with(embedded_store, UploadObjects, embedded_store.uploads_key_file) as objects:
        yield objects


def copied(uploads: UploadObjects) -> object:
    source = {"Bucket": "weights", "Key": WEIGHTS}
    return uploads._client.copy_object(Bucket="weights", Key="uploads/0/copy", CopySource=source)


def copied_as_a_part(uploads: UploadObjects) -> object:
    attempt, source = uploads.begin("uploads/0/copy"), {"Bucket": "weights", "Key": WEIGHTS}
    try:
        return uploads._client.upload_part_copy(
            Bucket="weights", Key="uploads/0/copy", UploadId=attempt, PartNumber=1, CopySource=source
        )
    finally:
        uploads.abort("uploads/0/copy", attempt)


@pytest.mark.parametrize(
    "act",
    [
        lambda uploads: uploads.put_bytes(WEIGHTS, b"other weights"),
        lambda uploads: uploads.put_bytes(f"uploads/../{WEIGHTS}", b"other weights"),
        lambda uploads: uploads.put_bytes("checkpoints/new", b"x"),
        lambda uploads: uploads.put_bytes("uploadsx/new", b"x"),
        lambda uploads: uploads.put_bytes("findings/1/x", b"x"),
        lambda uploads: uploads.begin(WEIGHTS),
        lambda uploads: uploads.delete(WEIGHTS),
        lambda uploads: uploads.get_bytes(WEIGHTS),
        lambda uploads: uploads.list_keys("checkpoints/"),
        lambda uploads: uploads._client.delete_bucket_policy(Bucket="weights"),
        copied,
        copied_as_a_part,
    ],
)
def test_the_key_for_uploads_reaches_nothing_else(
    uploads: UploadObjects, publisher: UploadObjects, act: Callable[[UploadObjects], object]
) -> None:
    """Neither writing, deleting, reading, listing nor copying; the checkpoint's object stays what it was."""
    with pytest.raises(Exception, match=r"AccessDenied|InvalidRequest|refused"):
        act(uploads)
    assert publisher.get_bytes(WEIGHTS) == CONTENT
    assert [publisher.head(key) for key in ("checkpoints/new", "uploadsx/new", "findings/1/x")] == [None] * 3


def test_what_was_put_together_takes_no_more_parts(uploads: UploadObjects, publisher: UploadObjects) -> None:
    """Its URLs are dead, so what is checked afterwards stays so; it is read from any byte on, and only in this form."""
    key, content = "uploads/0/whole", bytes(range(256)) * 40
    attempt = uploads.begin(key)
    url, headers = uploads.part_url(key, attempt, 1, bytes.fromhex(sha256(content)), len(content), 60)
    assert put(url, headers, content) == 200
    assert put(url, headers, content) == 200  # sent twice, it is there once
    parts = uploads.arrived(key, attempt) or {}
    assert {number: part.size_bytes for number, part in parts.items()} == {1: len(content)}
    publisher.put_together(key, attempt, parts, [bytes.fromhex(sha256(content))])
    assert put(url, headers, content) == 404
    assert uploads.arrived(key, attempt) is None
    info = publisher.head(key)
    assert info is not None
    location = publisher.location(key, info.size_bytes, info.etag)
    with location.open("rb") as stream:
        assert stream.read() == content
        assert stream.seek(-5, io.SEEK_END) == len(content) - 5
        assert (stream.read(9), stream.read(9)) == (content[-5:], b"")
        stream.seek(300)
        assert stream.read(7) == content[300:307]
    publisher.put_bytes(key, content[::-1])
    with pytest.raises(ObjectStoreError), location.open("rb") as stream:
        stream.read()
    publisher.delete(key)


def test_parts_are_put_together_only_under_their_own_digests(uploads: UploadObjects) -> None:
    key = "uploads/0/other"
    attempt = uploads.begin(key)
    url, headers = uploads.part_url(key, attempt, 1, bytes.fromhex(sha256(b"abc")), 3, 60)
    assert put(url, headers, b"abc") == 200
    with pytest.raises(ObjectStoreError):
        uploads.put_together(key, attempt, uploads.arrived(key, attempt) or {}, [bytes(32)])
    uploads.abort(key, attempt)
