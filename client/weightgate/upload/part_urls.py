"""URLs for parts: asked for as many as can be sent while they last, and again once they have expired."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from weightgate import asking
from weightgate.download.patience import Patience
from weightgate.download.progress import Progress
from weightgate.http import Server, require_safe
from weightgate.upload.source import SourceFile
from weightgate.verdicts import CannotTell, Refused

PATH = "/api/v1/uploads"
AT_ONCE_AT_MOST = 100  # of the 200 that the server takes
_SPARE_SECONDS = 5.0  # of a URL's life: not used in its last ones
_LONGEST_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file. index: its place among all parts; number: among the file's, from 1."""

    index: int
    file: SourceFile
    number: int

    @property
    def size_bytes(self) -> int:
        return min(self.file.part_bytes, self.file.size_bytes - (self.number - 1) * self.file.part_bytes)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a part is put. url: None for one that has arrived. fresh_until: by `time.monotonic`."""

    url: str | None
    headers: Mapping[str, str]
    fresh_until: float


class PartUrls:
    """The URLs of one upload. Used by all threads, which take the parts in their order."""

    def __init__(
        self, server: Server, upload: int, parts: Sequence[Part], jobs: int, patience: Patience, progress: Progress
    ) -> None:
        self._server, self._upload, self._parts, self._jobs = server, upload, parts, jobs
        self._patience, self._progress = patience, progress
        self._lock = threading.Lock()
        self._slots: dict[int, Slot] = {}
        self._lifetime_seconds = 0.0

    def of(self, part: Part, refused: Slot | None = None) -> Slot:
        """Return a slot for a part: another one than what the store has refused. Raises Refused or CannotTell."""
        if (known := self._fresh(part, refused)) is not None:
            return known
        with self._lock:
            if (known := self._fresh(part, refused)) is None:
                self._ask(self._parts[part.index : part.index + self._count(part)])
                known = self._slots[part.index]
            return known

    def _fresh(self, part: Part, refused: Slot | None) -> Slot | None:
        slot = self._slots.get(part.index)
        if slot is None or slot is refused:
            return None
        return slot if slot.url is None or time.monotonic() < slot.fresh_until else None

    def _count(self, part: Part) -> int:
        """How many can be sent in half of a URL's life, by the speed so far."""
        speed = self._progress.fetched_bytes / max(self._progress.seconds, 0.001)
        return int(min(AT_ONCE_AT_MOST, max(2 * self._jobs, speed * self._lifetime_seconds / 2 / part.size_bytes)))

    def _ask(self, parts: Sequence[Part]) -> None:
        wanted = [
            {"path": part.file.path, "number": part.number, "sha256": part.file.part_sha256s[part.number - 1]}
            for part in parts
        ]
        asked_at = time.monotonic()
        told = ask(self._server, f"{PATH}/{self._upload}/urls", {"parts": wanted}, self._patience)
        try:
            self._lifetime_seconds = float(told["lifetime_seconds"])
            until = asked_at + max(self._lifetime_seconds - _SPARE_SECONDS, self._lifetime_seconds / 2)
            slots = {(one["path"], one["number"]): _slot(one, until) for one in told["parts"]}
            self._slots |= {part.index: slots[part.file.path, part.number] for part in parts}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise CannotTell("malformed_answer", "The server did not say where to send the parts.") from None


def ask(server: Server, path: str, body: dict[str, Any] | None, patience: Patience) -> dict[str, Any]:
    """POST, or GET without a body, as often as it takes. Raises Refused, or CannotTell when the server stays away."""
    attempt = 0
    while True:
        try:
            answer = asking.get(server, path) if body is None else asking.post(server, path, body)
        except Refused as refused:
            seconds = refused.retry_after_seconds
            if seconds is None or seconds > _LONGEST_WAIT_SECONDS:
                raise
            patience.pause(seconds)
        except CannotTell as unknown:
            if unknown.verdict.code not in {"unreachable", "no_answer"}:
                raise
            patience.wait(attempt, "the server does not respond")
            attempt += 1
        else:
            patience.heard()
            return answer


def _slot(told: dict[str, Any], until: float) -> Slot:
    url = told["url"]
    if url is not None:
        require_safe(str(url))
    return Slot(url, {str(name): str(value) for name, value in told["headers"].items()}, until)
