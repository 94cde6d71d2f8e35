"""Finishing: large files that are whole get their names, and are waited for by nobody who could receive others."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

from weightgate.download.patience import Patience

Whole = TypeVar("Whole")

_THREADS = 4
_WAITING_AT_MOST = 64  # each is an open file


class Finishing(Generic[Whole]):
    """Does `finish` with each file that is added, several at once; the first that fails ends the whole."""

    def __init__(self, patience: Patience, finish: Callable[[Whole], None]) -> None:
        self._patience, self._finish = patience, finish
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="weightgate-finish")
        self._room = threading.Semaphore(_WAITING_AT_MOST)
        self._error: BaseException | None = None

    def __enter__(self) -> "Finishing[Whole]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for what was added. Raises what one raised, unless there is an error already."""
        self._pool.shutdown()
        if error is None and self._error is not None:
            raise self._error

    def add(self, whole: Whole) -> None:
        """Return at once, or when there is room."""
        self._room.acquire()
        self._pool.submit(self._finish, whole).add_done_callback(self._done)

    def _done(self, future: "Future[None]") -> None:
        self._room.release()
        if (error := future.exception()) is not None:
            self._error = self._error or error
            self._patience.stop()
