"""Checking what lies on disk: which chunks of which files are there, as they were signed."""

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import BLOCK_BYTES, has_chunk
from weightgate.download.patience import Patience
from weightgate.download.sharing import share

THREADS = os.cpu_count() or 1


def missing(places: Sequence[tuple[File, Path]], patience: Patience) -> dict[str, list[Chunk]]:
    """Return the chunks of each file, by its path, that do not lie in its place; none for one that is whole."""
    found: dict[str, list[Chunk]] = {file.path: [] for file, _ in places}

    def look(buffer: memoryview, item: tuple[File, Path, Chunk]) -> None:
        file, path, chunk = item
        if not has_chunk(path, chunk, buffer):
            found[file.path].append(chunk)

    share(((file, path, chunk) for file, path in places for chunk in file.chunks), THREADS, patience, block, look)
    return {path: sorted(chunks, key=lambda chunk: chunk.begin) for path, chunks in found.items()}


def is_whole(file: File, path: Path) -> bool:
    """Say whether the file has the size and the SHA-256 of the manifest, all of it read again."""
    digest = hashlib.sha256()
    with block() as buffer, path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
        return stream.tell() == file.size_bytes and digest.hexdigest() == file.sha256


def size_of(path: Path) -> int | None:
    """Return a plain file's size; None for one that is not there. A link or a folder has none that could be right."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


@contextmanager
def block() -> Iterator[memoryview]:
    """A buffer to read into."""
    with mmap.mmap(-1, BLOCK_BYTES) as memory, memoryview(memory) as buffer:
        yield buffer
