"""Patience: how long a network that brings nothing is waited for, by all threads together."""

import threading
import time

from weightgate.verdicts import CannotTell

SECONDS = 120.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 8.0


class Stopped(Exception):
    """Another thread has come to an end of the whole."""


class Patience:
    """Shared by all threads of a download. Bytes that arrive renew it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._heard_at = time.monotonic()
        self._stop = threading.Event()

    def heard(self) -> None:
        self._heard_at = time.monotonic()

    def stop(self) -> None:
        """End every wait, and every thread at its next block."""
        self._stop.set()

    def require(self) -> None:
        """Raise Stopped when another thread has ended the whole."""
        if self._stop.is_set():
            raise Stopped

    def wait(self, attempt: int, why: str) -> None:
        """Wait before the next attempt, the first of which is 0. Raises CannotTell when nothing came for too long."""
        if time.monotonic() - self._heard_at > self._seconds:
            raise CannotTell(
                "network_lost",
                f"Nothing has arrived for {self._seconds:.0f} s: {why}.",
                "Run the same command again when the network is back. It continues where it stopped.",
            )
        if self._stop.wait(min(_FIRST_WAIT_SECONDS * 2**attempt, _LONGEST_WAIT_SECONDS)):
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait as long as the server said. Raises Stopped."""
        if self._stop.wait(seconds):
            raise Stopped
        self.heard()
