"""A file that is attached to a finding in a test, by way of the real store."""

import hashlib
import urllib.error
import urllib.request
import zlib

from server.domain.callers import Caller
from server.domain.release import finding_attachments
from server.domain.release.finding_attachments import FindingAttachment, Slot
from tests.world import World

TABLE = b"name,count\nAda,1\n"


def png(width: int = 1) -> bytes:
    """A whole picture, made by hand."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = width.to_bytes(4) + (1).to_bytes(4) + b"\x08\x00\x00\x00\x00"
    pixels = zlib.compress(b"\x00" + bytes(width))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def announced(world: World, finding: int, name: str, content: bytes, caller: Caller | None = None) -> Slot:
    """Announce it as its reporter does."""
    by = caller or world.person("cleared")
    sha256 = hashlib.sha256(content).hexdigest()
    return finding_attachments.begin(world.use, by, finding, name, len(content), sha256)


def sent(slot: Slot, content: bytes, **headers: str) -> int:
    """PUT it to the store as the slot says, or with other headers; return the store's status."""
    return put(slot.url, slot.headers | headers, content)


def put(url: str, headers: dict[str, str], content: bytes) -> int:
    """PUT something to the store; return its status."""
    asked = urllib.request.Request(url, content, headers, method="PUT")  # our store
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def attached(world: World, finding: int, name: str = "counts.csv", content: bytes = TABLE) -> FindingAttachment:
    """Announce it, send it, and have it checked."""
    slot = announced(world, finding, name, content)
    assert sent(slot, content) == 200
    return finding_attachments.complete(world.use, world.person("cleared"), finding, slot.attachment.id)
