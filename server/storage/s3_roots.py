"""S3 roots: the secrets that keys for S3 tools are made from. One makes them; others are still taken, or already.

Beside the file that the settings name, `s3.key`, may lie `s3.key.next`, which another machine may use already, and
`s3.key.until-20261129T161200Z`, which is taken until then: the name says so, and is copied with the file. Nothing needs
a restart, because the files are looked at again when they change.
"""

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from server.storage import keys
from server.storage.keys import KeyFileError

logger = structlog.get_logger(__name__)
_UNTIL = re.compile(r"\.until-([0-9]{8}T[0-9]{6}Z)")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class _Known:
    """What the files hold. older: each with the first moment at which it is taken no more."""

    current: bytes
    following: bytes | None
    older: tuple[tuple[datetime, bytes], ...]


class S3Roots:
    """The roots that the files hold now. A file that cannot be read changes nothing. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Raises KeyFileError for a file that is missing, open to others, or no secret."""
        self._path = path
        self._stamp = self._stamp_now()  # before they are read: what is written meanwhile is read again
        self._known = _read(path)

    def making(self) -> bytes:
        """The one that new keys are made from."""
        return self._followed().current

    def taken(self, at: datetime) -> list[bytes]:
        """Those whose keys are good at a moment, the newest use first."""
        known = self._followed()
        older = [root for until, root in known.older if at < until]
        return [known.current, *([] if known.following is None else [known.following]), *older]

    def every(self) -> list[bytes]:
        """All that are there: the store's proxy shows what it was started with, whenever that was."""
        known = self._followed()
        return [*self.taken(datetime.min.replace(tzinfo=UTC)), known.current]

    def _followed(self) -> _Known:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            try:
                self._known = _read(self._path)
            except KeyFileError as error:
                logger.warning("the files of the S3 keys' secrets were changed and cannot be used", reason=str(error))
            self._stamp = stamp
        return self._known

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            folder, file = self._path.parent.stat(), self._path.stat()
        except OSError:
            return ()
        return folder.st_mtime_ns, file.st_ino, file.st_mtime_ns, file.st_size


def prepare(path: Path) -> Path:
    """Make the next root, which is taken from now on and makes nothing yet. Raises FileExistsError."""
    following = _following(path)
    keys.write_secret(following)
    return following


def rotate(path: Path, at: datetime, until: datetime | None) -> None:
    """Make keys from the next root from now on, a new one where none was prepared. The old one is taken until then.

    until: None: keys that were made from any older root stop working at once. A crash in between leaves what was.
    """
    following = _following(path)
    if not following.exists():
        keys.write_secret(following)
    for ended, older in _older(path):
        if until is None or ended <= at:
            older.unlink(missing_ok=True)
    if until is not None:
        with contextlib.suppress(FileExistsError):  # twice within a second
            os.link(path, path.with_name(f"{path.name}.until-{until.astimezone(UTC).strftime(_TIME)}"))
    following.replace(path)


def _read(path: Path) -> _Known:
    following = _following(path)
    older = tuple((until, keys.read_secret(file)) for until, file in _older(path))
    return _Known(keys.read_secret(path), keys.read_secret(following) if following.exists() else None, older)


def _following(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _older(path: Path) -> list[tuple[datetime, Path]]:
    found = []
    for file in sorted(path.parent.glob(f"{path.name}.until-*"), reverse=True):
        if match := _UNTIL.fullmatch(file.name.removeprefix(path.name)):
            with contextlib.suppress(ValueError):  # no day of any year
                found.append((datetime.strptime(match[1], _TIME).replace(tzinfo=UTC), file))
    return found
