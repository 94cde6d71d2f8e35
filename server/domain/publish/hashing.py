"""Hashing: every file is read once, for its own SHA-256 and for that of each of its chunks."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import SourceFile

CHUNK_BYTES = 64 * 2**20  # what a partner can check while a file is still arriving

_BLOCK_BYTES = 4 * 2**20  # two blocks are in memory at a time: one being hashed, one being read

Progress = Callable[[int], object]


@dataclass(frozen=True)
class FileHashes:
    """What was computed over one file. All hashes are SHA-256, lower-case hex."""

    size_bytes: int
    sha256: str
    chunk_bytes: int
    chunk_sha256s: tuple[str, ...]  # in order; the last chunk may be shorter


def hash_files(
    files: Iterable[SourceFile], progress: Progress = lambda _: None, *, chunk_bytes: int = CHUNK_BYTES
) -> dict[str, FileHashes]:
    """Return the hashes of each file by its path.

    progress: called with the number of bytes just read, in the calling thread.
    Raises NotPublishable when a file is not the one that was scanned, or changes while it is read.
    """
    # Two threads, one a hash: hashlib lets go of the interpreter's lock, so both hashes take the time of one.
    with ThreadPoolExecutor(2, thread_name_prefix="hash") as pool:
        return {file.path: _hash_file(file, pool, progress, chunk_bytes) for file in files}


def _hash_file(file: SourceFile, pool: ThreadPoolExecutor, progress: Progress, chunk_bytes: int) -> FileHashes:
    whole, chunk, chunks = hashlib.sha256(), hashlib.sha256(), list[str]()
    pending: list[Future[None]] = []
    position = 0
    with file.open_unchanged() as stream:
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(io.UnsupportedOperation):  # an object in the store has no descriptor
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while block := stream.read(min(_BLOCK_BYTES, chunk_bytes - position % chunk_bytes)):
            _finish(pending)
            if position and position % chunk_bytes == 0:
                chunks.append(chunk.hexdigest())
                chunk = hashlib.sha256()
            pending = [pool.submit(whole.update, block), pool.submit(chunk.update, block)]
            position += len(block)
            progress(len(block))
            if position > file.size_bytes:
                break  # it grows: what follows refuses it
        _finish(pending)
        file.require_unchanged(stream)
    if position != file.size_bytes:
        raise NotPublishable(
            file.path, f"returned only {position} of {file.size_bytes} bytes", "check the disk, and try again"
        )
    if position:
        chunks.append(chunk.hexdigest())
    return FileHashes(file.size_bytes, whole.hexdigest(), chunk_bytes, tuple(chunks))


def _finish(pending: Iterable[Future[None]]) -> None:
    for future in pending:
        future.result()
