"""The files of a folder that is to be published: which there are, what they may be called, and that they stay so."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

MAX_FILE_BYTES = 50_000_000_000  # Hugging Face clients refuse a larger file before they ask for it
MAX_FILES = 1000  # checkpoints.FILES_AT_MOST: one request and one log entry must hold them all
MAX_PATH_CHARACTERS = 512

_PART = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_SHOWN_CHARACTERS = 120


class NotPublishable(ValueError):
    """A file or folder cannot be published. The text is one line: which file, what is wrong, and what to do."""

    def __init__(self, path: str, fault: str, fix: str) -> None:
        super().__init__(f"{shown(path)}: {fault}; {fix}")
        self.path = path


@dataclass(frozen=True)
class SourceFile:
    """One file on the publisher's disk. Its inode and time tell later whether it is still the file that was checked."""

    path: str  # relative to the folder, POSIX
    location: Path  # absolute
    size_bytes: int
    modified_ns: int
    device_inode: tuple[int, int]

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def folder(self) -> str:
        """The path of the folder it lies in; "." for the top."""
        return str(PurePosixPath(self.path).parent)


def shown(text: str) -> str:
    """Return foreign text fit for one line of a message: control characters escaped, a long middle left out."""
    escaped = text if text.isascii() and text.isprintable() else ascii(text)[1:-1]
    half = _SHOWN_CHARACTERS // 2
    return escaped if len(escaped) <= 2 * half else f"{escaped[:half]}…{escaped[-half:]}"


def walk(folder: Path) -> list[SourceFile]:
    """Return every file under `folder`, sorted by path. Raises NotPublishable.

    `folder` itself may be a symbolic link: whoever publishes named it. A link below it may not: what it points to
    can lie outside, and can change after the checks.
    """
    try:
        top = folder.resolve(strict=True)
        if not top.is_dir():
            raise NotPublishable(str(folder), "is not a folder", "name the folder that contains the files")
        files = list(_walk(top, "", budget=_Budget()))
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename else str(folder)
        raise NotPublishable(
            name, f"cannot be read ({error.strerror})", "check that it exists and that you can read it"
        ) from None
    if not files:
        raise NotPublishable(str(folder), "contains no files", "name the folder that contains the checkpoint")
    _refuse_twins(file.path for file in files)
    return sorted(files, key=lambda file: file.path)


def open_unchanged(file: SourceFile) -> BinaryIO:
    """Open the very file that was scanned. Raises NotPublishable when another one has taken its place."""
    try:
        # O_NONBLOCK: a pipe put in its place must not make us wait for ever.
        descriptor = os.open(file.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise NotPublishable(
            file.path,
            f"could not be opened ({error.strerror})",
            "do not change the folder during publishing, and try again",
        ) from None
    stream = os.fdopen(descriptor, "rb", buffering=0)
    try:
        require_unchanged(file, stream)
    except NotPublishable:
        stream.close()
        raise
    return stream


def require_unchanged(file: SourceFile, stream: BinaryIO) -> None:
    """Raise NotPublishable when the open file is not, or is no longer, what the scan saw."""
    status = os.fstat(stream.fileno())
    now = (status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))
    if now != (file.size_bytes, file.modified_ns, file.device_inode):
        raise NotPublishable(
            file.path, "changed while it was being read", "do not change the folder during publishing, and try again"
        )


@dataclass
class _Budget:
    """Counts what was found, so that a wrong folder ends the walk early instead of filling the memory."""

    files: int = 0
    folders: int = 0

    def spend(self, path: str, *, is_folder: bool) -> None:
        if is_folder:
            self.folders += 1
        else:
            self.files += 1
        if max(self.files, self.folders) > MAX_FILES:
            raise NotPublishable(
                path,
                f"exceeds the limit of {MAX_FILES} files and folders in a checkpoint",
                "use fewer shards, or name the right folder",
            )


def _walk(folder: Path, prefix: str, budget: _Budget) -> Iterator[SourceFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            _require_name(path, entry.name)
            status = entry.stat(follow_symlinks=False)
            is_folder = stat.S_ISDIR(status.st_mode)
            budget.spend(path, is_folder=is_folder)
            if is_folder:
                yield from _walk(Path(entry.path), path + "/", budget)
            else:
                yield _source_file(path, Path(entry.path), status)


def _require_name(path: str, name: str) -> None:
    rule = "use up to 128 characters: A-Z, a-z, 0-9, dot, underscore and hyphen"
    if name.startswith("."):
        # Also what the manifest tool would leave out silently: `.git`, `.gitattributes`.
        raise NotPublishable(path, "is hidden: its name begins with a dot", "move it out of the folder or rename it")
    if _PART.fullmatch(name) is None:
        raise NotPublishable(path, "has a name that some systems cannot store", f"rename it: {rule}")
    if ".." in name:
        raise NotPublishable(path, "has two dots in a row in its name", "rename it")
    if len(path) > MAX_PATH_CHARACTERS:
        raise NotPublishable(
            path, f"has a path of more than {MAX_PATH_CHARACTERS} characters", "use fewer or shorter folder names"
        )


def _source_file(path: str, location: Path, status: os.stat_result) -> SourceFile:
    if stat.S_ISLNK(status.st_mode):
        raise NotPublishable(path, "is a symbolic link", "replace it with the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise NotPublishable(path, "is a pipe, socket or device", "move it out of the folder")
    if status.st_size == 0:
        # The manifest's chunks form has no entry for an empty file, so it could not vouch for one.
        raise NotPublishable(path, "is empty", "delete it, or copy it again if it should have content")
    if status.st_size > MAX_FILE_BYTES:
        raise NotPublishable(
            path, f"has {status.st_size} bytes, more than {MAX_FILE_BYTES}", "save the checkpoint in smaller shards"
        )
    return SourceFile(path, location, status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))


def _refuse_twins(paths: Iterable[str]) -> None:
    """Refuse names that differ in case only: on many disks one of the two would overwrite the other."""
    spelled: dict[str, str] = {}
    for path in paths:
        for name in (path, *map(str, PurePosixPath(path).parents)):
            twin = spelled.setdefault(name.casefold(), name)
            if twin != name:
                raise NotPublishable(name, f"differs from {shown(twin)} only in case", "rename one of them")
