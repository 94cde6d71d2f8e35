"""Parts: how a file is cut for the store, and which SHA-256 checksum the store then shows for the whole."""

import base64
import hashlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, Protocol

MIB = 1024 * 1024
SINGLE_PUT_BELOW_BYTES = 16 * MIB
PARTS_AT_MOST = 10_000  # S3's own limit


class Opens(Protocol):
    """Where a file's bytes are read from, as often as needed: a path, or an object. Its text names it in messages."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO: ...


def part_size_bytes(size_bytes: int) -> int:
    """Return the size of a file's parts: 16 MiB, or as many whole MiB as keep it within S3's 10,000 parts."""
    return max(SINGLE_PUT_BELOW_BYTES, -(-size_bytes // (PARTS_AT_MOST * MIB)) * MIB)


def read_parts(stream: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Read a file in parts, up to its promised size plus one byte: a file that grew then fails its hash, unread."""
    left = size_bytes + 1
    while left and (part := stream.read(min(part_size_bytes(size_bytes), left))):
        left -= len(part)
        yield part


def store_checksum(digests: list[bytes], size_bytes: int) -> str:
    """Return the SHA-256 checksum S3 gives a file: its own, or that of its parts' digests, and their number."""
    if size_bytes < SINGLE_PUT_BELOW_BYTES:
        return base64_of(digests[0] if digests else hashlib.sha256().digest())
    return f"{base64_of(hashlib.sha256(b''.join(digests)).digest())}-{len(digests)}"


def base64_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
