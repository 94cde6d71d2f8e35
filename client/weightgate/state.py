"""State: the folder in which this machine remembers, written whole or not at all, by one process at a time."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from weightgate.verdicts import CannotTell, WrongUse

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.05


def folder(environment: Mapping[str, str]) -> Path:
    """WEIGHTGATE_STATE, else the platform's folder for state."""
    if named := environment.get("WEIGHTGATE_STATE"):
        return Path(named)
    if sys.platform == "win32" and (local := environment.get("LOCALAPPDATA")):
        return Path(local) / "weightgate"
    base = Path(environment.get("XDG_STATE_HOME", ""))
    # A relative path there is to be ignored (XDG Base Directory Specification).
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "weightgate"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file `path`. Between reading and writing it, nobody else may have written.

    Raises WrongUse when the folder cannot be used, CannotTell when another process keeps the lock for a minute.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        _wait_for(descriptor)
        yield
    finally:
        os.close(descriptor)  # lets the lock go; a killed process lets it go too


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold the lock file `path`, or say at once that another process holds it. Raises WrongUse."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise unusable(path, error) from None
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, limit_bytes: int) -> bytes | None:
    """The file's bytes, at most one more than the limit; None when there is none yet."""
    try:
        with path.open("rb") as file:
            return file.read(limit_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unusable(path, error) from None


def write(path: Path, data: bytes) -> None:
    """Replace the file, readable for its owner alone. After a crash it is the old one or the new one."""
    try:
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(beside).replace(path)
        except BaseException:
            Path(beside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unusable(path, error) from None


def unusable(path: Path, error: OSError) -> WrongUse:
    return WrongUse(
        "no_memory",
        f"Cannot save the client's state: {error.strerror or type(error).__name__}: {path}.",
        "Fix this, or choose another folder with WEIGHTGATE_STATE.",
    )


def _wait_for(descriptor: int) -> None:
    ends_at = time.monotonic() + _WAIT_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > ends_at:
            raise CannotTell("busy", "Another weightgate process is using the client's state.")
        time.sleep(_POLL_SECONDS)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
