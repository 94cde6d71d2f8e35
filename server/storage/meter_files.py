"""Meter files: what each process of an instance has counted, in a file of its own, for whoever adds it all up.

A process holds a place (`web-1`, `web-2`, `worker-1`, …) by a lock that the system takes back when it dies, however it
dies. Who gets the place next goes on counting from the file, so that no sum ever falls. Files are replaced as a whole:
no reader sees half of one, and a full disk fails a write here, not a request (memory that is mapped to a file would end
the process).
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import orjson

FOLDER = "metrics"  # in the instance's folder
PLACES_AT_MOST = 1000  # of one kind
Series: TypeAlias = tuple[str, tuple[str, ...]]  # a metric's name, and its labels' values


@dataclass
class Counted:
    """What one process has counted, and the state that it is in.

    sums: for ever growing. buckets: how many observations were at most each bound and above the one before, then those
    above all, and the sum of all. states: meaningless once the process has ended.
    """

    sums: dict[Series, float] = field(default_factory=dict)
    buckets: dict[Series, list[float]] = field(default_factory=dict)
    states: dict[Series, float] = field(default_factory=dict)

    def as_json(self) -> bytes:
        parts = (self.sums, self.buckets, self.states)
        return orjson.dumps([[[name, labels, value] for (name, labels), value in part.items()] for part in parts])

    @classmethod
    def from_json(cls, text: bytes) -> "Counted":
        """Raises ValueError or TypeError for what is none."""
        sums, buckets, states = orjson.loads(text)
        return cls(_series(sums), _series(buckets), _series(states))


def _series(rows: list[Any]) -> dict[Series, Any]:
    return {(name, tuple(labels)): value for name, labels, value in rows}


class Place:
    """A process's place among those of its kind, from its start to its end."""

    def __init__(self, folder: Path, kind: str) -> None:
        """Take the lowest place that is free. Raises OSError."""
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in range(1, PLACES_AT_MOST + 1):
            self._file = folder / f"{kind}-{number}.json"
            self._lock = os.open(folder / f"{kind}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                continue
            os.ftruncate(self._lock, 0)
            os.write(self._lock, str(os.getpid()).encode())
            return
        raise OSError(f"all {PLACES_AT_MOST} places in {folder} are taken")

    def earlier(self) -> Counted:
        """What was counted here before, by processes that have ended; nothing where the file cannot be read."""
        found = _read(self._file) or Counted()
        return Counted(found.sums, found.buckets)

    def write(self, counted: Counted) -> None:
        """Raises OSError; the file is then the one of before."""
        new = self._file.with_suffix(".new")
        new.write_bytes(counted.as_json())
        new.replace(self._file)

    def close(self) -> None:
        os.close(self._lock)


@dataclass(frozen=True, slots=True)
class Seen:
    """A place, as others see it. pid: of the process that holds it now; None: nobody does."""

    name: str  # such as `web-1`
    kind: str
    pid: int | None
    counted: Counted


def read(folder: Path) -> Iterator[Seen]:
    """Every place of an instance, taken or not. What cannot be read counts as nothing."""
    for lock in sorted(folder.glob("*.lock")):
        counted = _read(lock.with_suffix(".json")) or Counted()
        pid = _holder(lock)
        if pid is None:
            counted.states.clear()
        yield Seen(lock.stem, lock.stem.rpartition("-")[0], pid, counted)


def _holder(lock: Path) -> int | None:
    """The process that holds a lock, as it wrote itself; None when nobody does."""
    with contextlib.suppress(OSError, ValueError), lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def _read(path: Path) -> Counted | None:
    try:
        return Counted.from_json(path.read_bytes())
    except (OSError, ValueError, TypeError):
        return None
