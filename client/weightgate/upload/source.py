"""The folder that is to be published: its files, and their hashes. Whether they can be published, the server says."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from weightgate.verdicts import Failed, WrongUse

PART_BYTES = 16 * 2**20  # what the server asks for; where it asks for other parts, these are hashed again
FILES_AT_MOST = 1000  # of a checkpoint
_BLOCK_BYTES = 2**20
_LEFT_OUT = {
    ".gitattributes",
    ".gitignore",
    ".DS_Store",
}  # what clones and Macs leave behind, as the server leaves it out
_HINT = "Use `cp -rL` to make a copy without links, and publish that."


@dataclass(slots=True)
class SourceFile:
    """One file. stamp: its time, size and place when it was found. sha256s are lower-case hex, known once hashed."""

    path: str  # below the folder, with slashes
    location: Path
    size_bytes: int
    stamp: tuple[int, ...]
    sha256: str = ""
    part_bytes: int = PART_BYTES
    part_sha256s: list[str] = field(default_factory=list)

    def hash(self, heard: Callable[[int], object]) -> None:
        """Read it once, for its own SHA-256 and for that of each part. Raises Failed when it changes meanwhile."""
        whole, parts = hashlib.sha256(), list[str]()
        for begin in range(0, self.size_bytes, self.part_bytes):
            part = hashlib.sha256()
            for block in self._blocks(begin, min(begin + self.part_bytes, self.size_bytes)):
                whole.update(block)
                part.update(block)
                heard(len(block))
            parts.append(part.hexdigest())
        self.sha256, self.part_sha256s = whole.hexdigest(), parts

    def hash_in_parts_of(self, part_bytes: int) -> None:
        """Make sure that its parts are of this size. Raises Failed when it is no longer the file that was hashed."""
        if part_bytes == self.part_bytes:
            return
        self.part_bytes, before = part_bytes, self.sha256
        self.hash(lambda _: None)
        if self.sha256 != before:
            raise self._changed()

    def read(self, number: int) -> bytes:
        """Return a part, counted from 1. Raises Failed when the file is no longer the one that was hashed."""
        begin = (number - 1) * self.part_bytes
        return b"".join(self._blocks(begin, min(begin + self.part_bytes, self.size_bytes)))

    def require_same(self, number: int, content: bytes) -> None:
        """Raise Failed when what was read is not what was hashed."""
        if hashlib.sha256(content).hexdigest() != self.part_sha256s[number - 1]:
            raise self._changed()

    def _blocks(self, begin: int, end: int) -> Iterator[bytes]:
        try:
            with self.location.open("rb", buffering=0) as stream:
                stream.seek(begin)
                while begin < end and (block := stream.read(min(_BLOCK_BYTES, end - begin))):
                    begin += len(block)
                    yield block
                if begin < end or _stamp(os.fstat(stream.fileno())) != self.stamp:
                    raise self._changed()
        except OSError as error:
            raise Failed("unreadable", f"{self.path} cannot be read ({error.strerror}).") from None

    def _changed(self) -> Failed:
        return Failed(
            "file_changed",
            f"{self.path} has changed since the command began. Nothing was published.",
            "Do not change the folder, and run the same command again.",
        )


def walk(folder: Path) -> tuple[list[SourceFile], list[str]]:
    """Return the files below a folder, by path, and what is left out. Raises WrongUse."""
    files, left_out = list[SourceFile](), list[str]()
    try:
        for entry, path in _entries(folder.resolve(strict=True), "", left_out):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                what = "a symbolic link" if entry.is_symlink() else "no file"
                raise WrongUse("not_a_file", f"{path} is {what}. Nothing was sent.", _HINT)
            files.append(SourceFile(path, Path(entry.path), status.st_size, _stamp(status)))
            if len(files) > FILES_AT_MOST:
                raise WrongUse(
                    "too_many_files",
                    f"{folder} contains more than {FILES_AT_MOST} files, the limit of a checkpoint.",
                    "Use fewer shards, or name the right folder.",
                )
    except OSError as error:
        raise WrongUse("unreadable", f"Cannot read {folder}: {error.strerror}.", "Name the folder.") from None
    if not files:
        raise WrongUse("no_files", f"{folder} contains no files.", "Name the folder that contains the checkpoint.")
    return sorted(files, key=lambda file: file.path), sorted(left_out)


def _entries(folder: Path, prefix: str, left_out: list[str]) -> "Iterator[tuple[os.DirEntry[str], str]]":
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.name in _LEFT_OUT or (entry.name == ".cache" and _is_a_hubs(Path(entry.path))):
                left_out.append(path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _entries(Path(entry.path), f"{path}/", left_out)
            else:
                yield entry, path


def _is_a_hubs(folder: Path) -> bool:
    """What `hf download --local-dir` leaves behind."""
    return folder.is_dir() and all(inner.name == "huggingface" for inner in folder.iterdir())


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mtime_ns, status.st_size, status.st_dev, status.st_ino
