"""The files that are to be published: which there are, what they may be called, and that they stay so.

They lie in a folder on this machine, or, uploaded by a publisher, in the store.
"""

import os
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from server.domain.publish.faults import Faults, NotPublishable, shown
from server.storage.object_parts import Opens

MAX_FILE_BYTES = 50_000_000_000  # Hugging Face clients refuse a larger file before they ask for it
MAX_FILES = 1000  # checkpoints.FILES_AT_MOST: one request and one log entry must hold them all
MAX_PATH_CHARACTERS = 512
COUNTED_AT_MOST = 100_000  # to say how many files there are; who names `/` by mistake does not wait for its end

_PART = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.ASCII | re.IGNORECASE)
_LEFT_OUT = {".gitattributes", ".gitignore", ".DS_Store"}
_FROM_DISTCP = (
    "convert the folder (`python -m torch.distributed.checkpoint.format_utils dcp_to_torch DIR model.pt`), "
    "load that and save it as safetensors"
)


@dataclass(frozen=True)
class SourceFile(ABC):
    """One file that is to be published."""

    path: str  # relative to the folder, POSIX
    location: Opens
    size_bytes: int

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    @property
    def folder(self) -> str:
        """The path of the folder it lies in; "." for the top."""
        return str(PurePosixPath(self.path).parent)

    @abstractmethod
    def open_unchanged(self) -> BinaryIO:
        """Open the very file that was found. Raises NotPublishable when another one has taken its place."""

    @abstractmethod
    def require_unchanged(self, stream: BinaryIO) -> None:
        """Raise NotPublishable when the open file is not, or is no longer, what was found."""


@dataclass(frozen=True)
class DiskFile(SourceFile):
    """One on this machine's disk. Its inode and time tell later whether it is still the file that was checked."""

    location: Path  # absolute
    modified_ns: int
    device_inode: tuple[int, int]

    def open_unchanged(self) -> BinaryIO:
        try:
            # O_NONBLOCK: a pipe put in its place must not make us wait for ever.
            descriptor = os.open(self.location, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotPublishable(
                self.path,
                f"could not be opened ({error.strerror})",
                "do not change the folder during publishing, and try again",
            ) from None
        stream = os.fdopen(descriptor, "rb", buffering=0)
        try:
            self.require_unchanged(stream)
        except NotPublishable:
            stream.close()
            raise
        return stream

    def require_unchanged(self, stream: BinaryIO) -> None:
        status = os.fstat(stream.fileno())
        now = (status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))
        if now != (self.size_bytes, self.modified_ns, self.device_inode):
            raise NotPublishable(
                self.path,
                "changed while it was being read",
                "do not change the folder during publishing, and try again",
            )


@dataclass(frozen=True)
class StoredFile(SourceFile):
    """One that a publisher uploaded. Its location gives the bytes of one version of an object and of no other."""

    announced_sha256: str

    def open_unchanged(self) -> BinaryIO:
        return self.location.open("rb")

    def require_unchanged(self, stream: BinaryIO) -> None:
        """Nothing to do: an object that is no longer the same gives no bytes."""


@dataclass(frozen=True)
class Folder:
    """What a walk found."""

    files: Sequence[SourceFile]  # sorted by path
    paths: list[str]  # of all files, also of those that were refused
    left_out: list[str]  # what lies there and is never published, such as `.gitattributes`


def walk(folder: Path, faults: Faults) -> Folder:
    """Return every file under `folder`, and gather what is wrong with names and kinds. Raises NotPublishable.

    `folder` itself may be a symbolic link: whoever publishes named it. A link below it may not: what it points to
    can lie outside, and can change after the checks.
    """
    walk = _Walk(faults)
    try:
        top = folder.resolve(strict=True)
        if not top.is_dir():
            raise NotPublishable(str(folder), "is not a folder", "name the folder that contains the files")
        walk.enter(top, "")
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename else str(folder)
        raise NotPublishable(
            name, f"cannot be read ({error.strerror})", "check that it exists and that you can read it"
        ) from None
    walk.require_count(folder)
    if not walk.files and not faults:
        raise NotPublishable(str(folder), "contains no files", "name the folder that contains the checkpoint")
    _gather_twins((file.path for file in walk.files), faults)
    return Folder(sorted(walk.files, key=lambda file: file.path), walk.paths, sorted(walk.left_out))


def require_names(files: Iterable[tuple[str, int]], faults: Faults) -> None:
    """Gather what is wrong with the paths and sizes of files that are announced, by the rules of a walk."""
    sizes = list(files)
    paths = [path for path, _ in sizes]
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    for path, size_bytes in sizes:
        *parents, name = path.split("/")
        with faults.gathered():
            for parent in parents:
                _require_name(path, parent, is_folder=True)
            _require_name(path, name, is_folder=False)
            _require_size(path, size_bytes)
            if path in folders:
                raise NotPublishable(path, "is the name of a folder as well", "rename one of them")
    for path, count in Counter(paths).items():
        if count > 1:
            faults.add(path, "is named twice", "name each file once")
    if not sizes:
        faults.add(".", "contains no files", "name the folder that contains the checkpoint")
    if len(sizes) > MAX_FILES:
        faults.add(".", f"contains {len(sizes)} files; the limit of a checkpoint is {MAX_FILES}", "use fewer shards")
    _gather_twins(sorted(set(paths)), faults)


class _Walk:
    """One walk through a folder. Beyond the limit it only counts, so that a wrong folder does not fill the memory."""

    def __init__(self, faults: Faults) -> None:
        self.files = list[SourceFile]()
        self.paths: list[str] = []
        self.left_out: list[str] = []
        self._faults = faults
        self._counts = {"files": 0, "folders": 0}

    def enter(self, folder: Path, prefix: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                if max(self._counts.values()) > COUNTED_AT_MOST:
                    return
                path, status = prefix + entry.name, entry.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                if left_out := _left_out(Path(entry.path), is_folder=is_folder):
                    self.left_out.append(prefix + left_out)
                    continue
                self._counts["folders" if is_folder else "files"] += 1
                if max(self._counts.values()) <= MAX_FILES:
                    self._keep(path, Path(entry.path), status)
                if is_folder and not entry.name.startswith("."):  # a hidden one is one fault, not as many as it holds
                    self.enter(Path(entry.path), path + "/")

    def _keep(self, path: str, location: Path, status: os.stat_result) -> None:
        with self._faults.gathered():
            if stat.S_ISDIR(status.st_mode):
                _require_name(path, location.name, is_folder=True)
                return
            self.paths.append(path)
            _require_name(path, location.name, is_folder=False)
            self.files.append(_source_file(path, location, status))

    def require_count(self, folder: Path) -> None:
        for what, count in self._counts.items():
            if count > MAX_FILES:
                number = f"{count}" if count <= COUNTED_AT_MOST else f"more than {COUNTED_AT_MOST}"
                self._faults.add(
                    str(folder),
                    f"contains {number} {what}; the limit of a checkpoint is {MAX_FILES}",
                    "use fewer shards, or name the right folder",
                )
        if max(self._counts.values()) > MAX_FILES:
            self._faults.refuse()  # nothing of so many is read


def _left_out(entry: Path, *, is_folder: bool) -> str | None:
    """Name what a clone or a download from a hub, or a Mac, leaves beside the files, and nobody means to publish."""
    if not is_folder:
        return entry.name if entry.name in _LEFT_OUT else None
    if entry.name == ".cache" and all(inner.name == "huggingface" and inner.is_dir() for inner in entry.iterdir()):
        return ".cache/huggingface/"
    return None


def _require_name(path: str, name: str, *, is_folder: bool) -> None:
    if not is_folder and (name == ".metadata" or name.endswith(".distcp")):
        raise NotPublishable(path, "belongs to a torch distributed checkpoint, which contains a pickle", _FROM_DISTCP)
    if name.startswith("."):
        # Also what the manifest tool would leave out silently: `.git`, `.gitattributes`.
        raise NotPublishable(path, "is hidden: its name begins with a dot", "move it out of the folder or rename it")
    if fault := _fault_of_name(name):
        raise NotPublishable(
            path,
            fault,
            "rename it: use up to 128 characters: A-Z, a-z, 0-9, dot, underscore and hyphen",
        )
    if len(path) > MAX_PATH_CHARACTERS:
        raise NotPublishable(
            path, f"has a path of more than {MAX_PATH_CHARACTERS} characters", "use fewer or shorter folder names"
        )


def _fault_of_name(name: str) -> str | None:
    if name.startswith("-"):
        return "starts with a hyphen, which commands treat as an option"
    if _DEVICE.fullmatch(name):
        return "has a name that Windows reserves for a device"
    if name.endswith((".", " ")):
        return "ends in a dot or a space, which Windows removes"
    if _PART.fullmatch(name) is None:
        return "has a name that some systems cannot store"
    if ".." in name:
        return "has two dots in a row in its name"
    return None


def _source_file(path: str, location: Path, status: os.stat_result) -> DiskFile:
    if stat.S_ISLNK(status.st_mode):
        raise NotPublishable(
            path,
            "is a symbolic link",
            "publish a copy made with `cp -rL`; `hf download --local-dir` fetches files without links",
        )
    if not stat.S_ISREG(status.st_mode):
        raise NotPublishable(path, "is a pipe, socket or device", "move it out of the folder")
    _require_size(path, status.st_size)
    return DiskFile(path, location, status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))


def _require_size(path: str, size_bytes: int) -> None:
    if size_bytes == 0:
        # The manifest's chunks form has no entry for an empty file, so it could not vouch for one.
        raise NotPublishable(path, "is empty", "delete it, or copy it again if it should have content")
    if size_bytes > MAX_FILE_BYTES:
        raise NotPublishable(
            path, f"has {size_bytes} bytes, more than {MAX_FILE_BYTES}", "save the checkpoint in smaller shards"
        )


def _gather_twins(paths: Iterable[str], faults: Faults) -> None:
    """Refuse names that differ in case only: on many disks one of the two would overwrite the other."""
    spelled: dict[str, str] = {}
    told: set[str] = set()
    for path in paths:
        for name in (path, *map(str, PurePosixPath(path).parents)):
            twin = spelled.setdefault(name.casefold(), name)
            if twin != name and name not in told:
                told.add(name)
                faults.add(name, f"differs from {shown(twin)} only in case", "rename one of them")
