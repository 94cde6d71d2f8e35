"""An upload in a test, by way of the real store: announced, sent part by part, completed."""

import hashlib
from collections.abc import Mapping

import pytest

from server.domain.callers import Caller
from server.domain.publish import upload_parts, uploads
from server.domain.publish.upload_parts import Slot, Wanted
from server.domain.publish.uploads import NewFile, Upload
from server.storage import keys
from server.storage.embedded import EmbeddedStore
from server.storage.object_parts import part_size_bytes
from server.storage.uploads import PREFIX, UploadObjects
from tests.attached import put
from tests.world import World

PLANNED = "gpt-2/1558M"
FILES = {"config.json": b'{"layers": 12}', "vocab.txt": b"a\nb\n"}


@pytest.fixture
def no_uploads(embedded_store: EmbeddedStore) -> None:
    """Nothing is left in the store of other tests' uploads: all worlds share it."""
    objects = UploadObjects(
        endpoint_url=embedded_store.endpoint_url, region="us-east-1", bucket=embedded_store.bucket, addressing="path",
        credentials=keys.read_s3_credentials(embedded_store.uploads_key_file),
    )  # fmt: skip
    with objects:
        for key, attempt, _ in objects.attempts():
            objects.abort(key, attempt)
        for key in objects.list_keys(PREFIX):
            objects.delete(key)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def announced(
    world: World, files: Mapping[str, bytes] = FILES, stage: str = PLANNED, caller: Caller | None = None
) -> Upload:
    """Announce files as they are."""
    told = [NewFile(path, len(content), sha256(content)) for path, content in files.items()]
    return uploads.begin(world.use, caller or world.caller("publisher"), stage, told).upload


def parts_of(files: Mapping[str, bytes]) -> dict[tuple[str, int], bytes]:
    """The parts of files, by path and number."""
    return {
        (path, begin // size + 1): content[begin : begin + size]
        for path, content in files.items()
        for size in [part_size_bytes(len(content))]
        for begin in range(0, len(content), size)
    }


def slots(world: World, upload: Upload, files: Mapping[str, bytes] = FILES, caller: Caller | None = None) -> list[Slot]:
    """Ask for a URL for each part."""
    wanted = [Wanted(path, number, sha256(part)) for (path, number), part in parts_of(files).items()]
    return list(upload_parts.urls(world.use, caller or world.caller("publisher"), upload.id, wanted).slots)


def sent(world: World, upload: Upload, files: Mapping[str, bytes] = FILES, caller: Caller | None = None) -> None:
    """Send what has not arrived."""
    parts = parts_of(files)
    for slot in slots(world, upload, files, caller):
        if slot.url is not None:
            assert put(slot.url, dict(slot.headers), parts[slot.path, slot.number]) == 200


def completed(
    world: World, files: Mapping[str, bytes] = FILES, stage: str = PLANNED, caller: Caller | None = None
) -> Upload:
    """Announce files, send them, and hand them over."""
    upload = announced(world, files, stage, caller)
    sent(world, upload, files, caller)
    return uploads.complete(world.use, caller or world.caller("publisher"), upload.id)


def seen(world: World, upload: Upload) -> Upload:
    """The upload as it is now."""
    with world.use.database.reading() as session:
        return session.get_one(Upload, upload.id)
