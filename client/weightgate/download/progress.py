"""Progress: how much has arrived, how fast, and how long it will take; for a terminal, a file, or a program."""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

LINE_EVERY_SECONDS = 30.0  # without a terminal
_TERMINAL_EVERY_SECONDS = 0.2
_EVENT_EVERY_SECONDS = 1.0
_SPEED_OVER_SECONDS = 10.0

Facts = dict[str, Any]
Event = Callable[[Facts], None]


class Progress:
    """Counts for all threads. tell: gets each event."""

    def __init__(self, tell: Event = lambda _: None, clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._lock = threading.Lock()
        self.total_bytes = 0
        self.done_bytes = 0
        self.fetched_bytes = 0  # from the store, what had to be fetched again included
        self._began_at = self._told_at = clock()
        self._seen: list[tuple[float, int]] = []

    def begin(self, **facts: Any) -> None:
        self.total_bytes = facts["bytes"]
        self._began_at = self._told_at = self._clock()
        self._tell({"event": "begin", **facts})

    def add(self, count: int, *, fetched: bool = True) -> None:
        with self._lock:
            self.done_bytes += count
            self.fetched_bytes += count if fetched else 0
            at = self._clock()
            if at - self._told_at < _TERMINAL_EVERY_SECONDS:
                return
            self._told_at = at
            event = self._event(at)
        self._tell(event)

    def peeked(self, count: int) -> None:
        """What was fetched to find out what need not be: it is none of what has to arrive."""
        with self._lock:
            self.fetched_bytes += count

    def lost(self, count: int, why: str) -> None:
        """What arrived was not what it should be, and is fetched again."""
        with self._lock:
            self.done_bytes -= count
        self._tell({"event": "again", "why": why})

    def file(self, path: str, size_bytes: int) -> None:
        self._tell({"event": "file", "path": path, "size_bytes": size_bytes})

    @property
    def seconds(self) -> float:
        return self._clock() - self._began_at

    def _event(self, at: float) -> dict[str, Any]:
        self._seen.append((at, self.done_bytes))
        while at - self._seen[0][0] > _SPEED_OVER_SECONDS:
            self._seen.pop(0)
        since, before = self._seen[0]
        if since == at:
            since, before = self._began_at, 0
        speed = (self.done_bytes - before) / max(at - since, 0.001)
        left = (self.total_bytes - self.done_bytes) / speed if speed > 0 else None
        return {
            "event": "progress", "done_bytes": self.done_bytes, "total_bytes": self.total_bytes,
            "bytes_per_second": round(speed), "seconds_left": None if left is None else round(left),
        }  # fmt: skip


def events(stream: TextIO) -> Event:
    """Tell a program: a JSON object a line, progress once a second."""

    def tell(event: Facts) -> None:
        stream.write(f"{json.dumps(event)}\n")  # where nothing is buffered, `print` makes two writes of it
        stream.flush()

    return _spaced(_EVENT_EVERY_SECONDS, tell)


def lines(stream: TextIO = sys.stderr) -> Event:
    """Tell a person: on a terminal a line that changes, elsewhere one every half a minute."""
    if not stream.isatty():
        return _spaced(LINE_EVERY_SECONDS, lambda event: _say(stream, event, "\n"), at_once=False)
    return lambda event: _say(stream, event, "\r")


def bytes_in_words(count: float) -> str:
    """Return a number of bytes in the largest decimal unit that leaves a digit before the point."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _say(stream: TextIO, event: dict[str, Any], end: str) -> None:
    if event["event"] == "progress":
        done, total = bytes_in_words(event["done_bytes"]), bytes_in_words(event["total_bytes"])
        left = "" if event["seconds_left"] is None else f", {_duration(event['seconds_left'])} left"
        text = f"{done} of {total}, {bytes_in_words(event['bytes_per_second'])}/s{left}"
        print(f"{text:<78}" if end == "\r" else text, end=end, file=stream, flush=True)
    elif event["event"] == "warning":
        print(f"Note: {event['text']}", file=stream, flush=True)
    elif event["event"] == "again":
        print(f"{event['why']}; fetched again.", file=stream, flush=True)


def _spaced(seconds: float, tell: Event, *, at_once: bool = True) -> Event:
    """Let progress through once in so many seconds, and everything else always."""
    told_at = 0.0 if at_once else time.monotonic()
    lock = threading.Lock()

    def told(event: dict[str, Any]) -> None:
        nonlocal told_at
        with lock:
            if event["event"] == "progress":
                if time.monotonic() - told_at < seconds:
                    return
                told_at = time.monotonic()
            tell(event)

    return told


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
