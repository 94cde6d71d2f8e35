"""The folder of a download: the files, and in `.weightgate` what was signed, and what is not whole yet."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weightgate import state
from weightgate.log.encoding import load_json_object
from weightgate.verdicts import CannotTell, Failed, Malformed, WrongUse

INSIDE = ".weightgate"
MANIFEST, CHUNKS, ABOUT = "manifest.json", "chunks.json", "checkpoint.json"
MANIFEST_BYTES_AT_MOST = 256 * 1024 * 1024
_SPARE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class About:
    """Which checkpoint lies in a folder. paths: of the files that were asked for; None: of all. complete: all there."""

    endpoint: str
    stage: str
    checkpoint: str
    paths: list[str] | None
    complete: bool


class Folder:
    """One folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inside = path / INSIDE

    def file(self, path: str) -> Path:
        return self.path / path

    def partial(self, path: str) -> Path:
        return self._inside / "partial" / path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make the folder where it is not there, and keep other processes out of it. Raises Failed, CannotTell."""
        try:
            self._inside.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failed(error, self.path) from None
        with state.alone(self._inside / "lock") as is_alone:
            if not is_alone:
                raise CannotTell("busy", f"Another weightgate process is working in {self.path}.", "Wait for its end.")
            yield

    def about(self) -> About | None:
        """What lies here; None where it is no folder of ours. Raises WrongUse for what we did not write."""
        data = state.read(self._inside / ABOUT, MANIFEST_BYTES_AT_MOST)
        if data is None:
            return None
        try:
            return About(**load_json_object(data))
        except (Malformed, TypeError):
            raise WrongUse("damaged_folder", f"{self._inside / ABOUT} is damaged.", f"Delete {self._inside}.") from None

    def describe(self, about: About) -> None:
        self._keep(ABOUT, json.dumps(asdict(about), indent=2).encode() + b"\n")

    def keep_manifests(self, files_form: bytes, chunks_form: bytes) -> None:
        self._keep(MANIFEST, files_form)
        self._keep(CHUNKS, chunks_form)

    def manifests(self) -> tuple[bytes, bytes] | None:
        found = [state.read(self._inside / name, MANIFEST_BYTES_AT_MOST) for name in (MANIFEST, CHUNKS)]
        return None if found[0] is None or found[1] is None else (found[0], found[1])

    def keep_receipt(self, answer: dict[str, Any]) -> Path:
        """Keep what `weightgate log verify` reads. Without the URLs: whoever sees one can use it."""
        files = [{name: value for name, value in file.items() if name != "url"} for file in answer["files"]]
        name = f"receipts/{answer['id']}.json"
        self._keep(name, json.dumps(answer | {"files": files}).encode())
        return self._inside / name

    def others(self, known: Sequence[str]) -> list[str]:
        """Paths of what lies here and is in no manifest."""
        found = []
        for top, folders, names in os.walk(self.path):
            folders[:] = [name for name in folders if Path(top, name) != self._inside]
            found += [Path(top, name).relative_to(self.path).as_posix() for name in names]
        return sorted(set(found) - set(known))

    def require_room(self, size_bytes: int) -> None:
        """Raise Failed when the disk has not enough room for what is missing."""
        free = shutil.disk_usage(self.path).free
        if free < size_bytes + _SPARE_BYTES:
            raise Failed("disk_full", f"{self.path} has room for {free} bytes, but {size_bytes} are needed.")

    def clear_partial(self) -> None:
        shutil.rmtree(self._inside / "partial", ignore_errors=True)

    def _keep(self, name: str, data: bytes) -> None:
        target = self._inside / name
        try:
            target.parent.mkdir(exist_ok=True)
            beside = target.with_name(f"{target.name}.new")
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        except OSError as error:
            raise failed(error, target) from None


def failed(error: OSError, path: Path) -> Failed:
    """What an error of the disk means for whoever downloads."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failed("disk_full", f"The disk of {path} is full.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Failed("not_writable", f"{path} cannot be written to ({error.strerror}).")
    if error.errno == errno.ELOOP:
        return Failed("link", f"{path} is a symbolic link. The client does not write through links.")
    return Failed("disk", f"{path} cannot be written ({error.strerror or type(error).__name__}).")
