"""Waiting for a database that is away: seconds of an outage must not end an upload of hours."""

import time
from collections.abc import Callable
from typing import TypeVar

from server.storage.database import DatabaseUnavailable

PATIENCE_SECONDS = 600  # from the first failure of one piece of work on
PAUSE_SECONDS = 2

Result = TypeVar("Result")


class Patience:
    """Repeats work until the database answers, and says so once for each piece of work."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def insist(self, work: Callable[[bool], Result]) -> Result:
        """Return what the work returns. It is told whether it runs again: a commit that failed may be stored.

        Raises DatabaseUnavailable when the database stayed away.
        """
        gives_up_at = None
        while True:
            try:
                return work(gives_up_at is not None)
            except DatabaseUnavailable as error:
                if gives_up_at is None:
                    gives_up_at = time.monotonic() + PATIENCE_SECONDS
                    self._tell(f"{error}: waiting for it, up to {PATIENCE_SECONDS} seconds")
                if time.monotonic() >= gives_up_at:
                    raise
                time.sleep(PAUSE_SECONDS)
