"""A file that is arriving: written in place, at any offset, by several threads; renamed when it is whole.

Nothing is noted of what has arrived: a later run hashes what lies there, so it needs to trust nothing.
"""

import errno
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from weightgate.download.folder import failed
from weightgate.download.manifest import Chunk

Result = TypeVar("Result")

BLOCK_BYTES = 8 * 1024 * 1024
_ALIGNMENT = 4096
_DIRECT: int = getattr(os, "O_DIRECT", 0)
_SAFE: int = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class PartialFile:
    """Opened when its first chunk is written, closed by `finish` or `close`."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self.path = path
        self._size_bytes = size_bytes
        self._lock = threading.Lock()
        self._plain: int | None = None
        self._direct: int | None = None

    def write(self, data: memoryview, offset: int) -> None:
        """Raises Failed when the disk does not take it."""
        try:
            plain, direct = self._opened()
            done = 0
            if direct is not None and offset % _ALIGNMENT == 0 and len(data) % _ALIGNMENT == 0:
                done = self._past_the_cache(direct, data, offset)
            while done < len(data):
                done += _write_at(plain, data[done:], offset + done)
        except OSError as error:
            raise failed(error, self.path) from None

    def _past_the_cache(self, direct: int, data: memoryview, offset: int) -> int:
        """Write with O_DIRECT; return how much of it was: none where a file system does not, though it said so."""
        try:
            return _write_at(direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return 0

    def whole(self) -> Path:
        """The file at its full size, to be read. Raises Failed."""
        try:
            self._opened()
        except OSError as error:
            raise failed(error, self.path) from None
        return self.path

    def finish(self, target: Path) -> None:
        """Give the file its final name, after the disk has all of it. Raises Failed."""
        self.whole()  # an earlier run may have left more than the file
        try:
            if self._plain is not None:
                getattr(os, "fdatasync", os.fsync)(self._plain)  # or a power loss could leave holes under the name
            self.close()
            _in_its_folder(target, lambda: self.path.replace(target))
        except OSError as error:
            raise failed(error, target) from None

    def close(self) -> None:
        with self._lock:
            for descriptor in (self._plain, self._direct):
                if descriptor is not None:
                    os.close(descriptor)
            self._plain = self._direct = None

    def _opened(self) -> tuple[int, int | None]:
        with self._lock:
            if self._plain is None:
                flags = os.O_RDWR | os.O_CREAT | _SAFE
                plain = _in_its_folder(self.path, lambda: os.open(self.path, flags, 0o666))
                if os.fstat(plain).st_size != self._size_bytes:
                    os.ftruncate(plain, self._size_bytes)
                self._plain = plain
                # Past the page cache: what is written is not read again, and copying it there costs as much as hashing.
                if _DIRECT and self._size_bytes >= BLOCK_BYTES:
                    try:
                        self._direct = os.open(self.path, os.O_WRONLY | _DIRECT | _SAFE)
                    except OSError:
                        self._direct = None  # this file system does not
            return self._plain, self._direct


def _in_its_folder(path: Path, act: Callable[[], Result]) -> Result:
    """Do what makes a file; make its folder where that is not there yet."""
    try:
        return act()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return act()


def has_chunk(path: Path, chunk: Chunk, buffer: memoryview) -> bool:
    """Say whether this chunk lies in the file at its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _SAFE)
    except OSError:
        return False
    try:
        return not _is_hole(descriptor, chunk) and _digest(descriptor, chunk, buffer) == chunk.sha256
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _digest(descriptor: int, chunk: Chunk, buffer: memoryview) -> str:
    digest, position = hashlib.sha256(), chunk.begin
    while position < chunk.end:
        count = read_at(descriptor, buffer[: chunk.end - position], position)
        if count == 0:
            break
        digest.update(buffer[:count])
        position += count
    return digest.hexdigest()


def _is_hole(descriptor: int, chunk: Chunk) -> bool:
    """Whether nothing of the chunk was ever written; a file system that cannot tell says no."""
    if not hasattr(os, "SEEK_DATA"):
        return False
    try:
        return os.lseek(descriptor, chunk.begin, os.SEEK_DATA) >= chunk.end
    except OSError as error:
        return error.errno == errno.ENXIO  # no data from there to the end


if hasattr(os, "pwrite"):

    def _write_at(descriptor: int, data: memoryview, offset: int) -> int:
        return os.pwrite(descriptor, data, offset)

    def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from an offset as far as one call does; return how far."""
        return os.preadv(descriptor, [buffer], offset) if hasattr(os, "preadv") else _copied(descriptor, buffer, offset)

    def _copied(descriptor: int, buffer: memoryview, offset: int) -> int:
        data = os.pread(descriptor, len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

else:  # Windows
    _SEEKING = threading.Lock()

    def _write_at(descriptor: int, data: memoryview, offset: int) -> int:
        with _SEEKING:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, data)

    def read_at(descriptor: int, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from an offset as far as one call does; return how far."""
        with _SEEKING:
            os.lseek(descriptor, offset, os.SEEK_SET)
            data = os.read(descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)
