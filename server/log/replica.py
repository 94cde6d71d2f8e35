"""Reading the log from a replica of the database, where there is one: what shows the log, and nothing that decides.

A replica is behind by a moment or an hour. No reader may see the log shrink: a head that somebody was shown must be in
every later answer, whichever machine gives it. So a replica is read only while it has the newest head of the primary,
which costs one look there; what can never change, a tile, is taken from it without one. While a replica is away or
behind, the primary is read, as if there were none.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from server.log.published import NotPublished
from server.log.sealing import LogHead
from server.storage.database import UNAVAILABLE, Database, DatabaseUnavailable

AWAY_SECONDS = 30  # in which a replica that failed is not asked again
Found = TypeVar("Found")
logger = structlog.get_logger(__name__)


class LogReading:
    """Gives sessions for reading the log. Safe to share between threads."""

    def __init__(self, primary: Database, replica: Database | None) -> None:
        self._primary, self._replica = primary, replica
        self._away_until = 0.0

    @contextmanager
    def newest(self) -> Iterator[Session]:
        """Yield a session on one state, which has every head that anybody was shown.

        What was appended since the newest head may be missing. Raises DatabaseUnavailable, also when a replica fails in
        the middle: who asks again is answered by the primary.
        """
        with ExitStack() as stack:
            session = self._behind_by_nothing(stack)
            if session is not None:
                stack.enter_context(self._watched())
            yield session or stack.enter_context(self._primary.reading())

    def _behind_by_nothing(self, stack: ExitStack) -> Session | None:
        """A session on the replica, if it is there and has the primary's newest head."""
        if self._replica is None or not self._is_there():
            return None
        with self._primary.reading() as session:
            newest = newest_head(session)
        try:
            session = stack.enter_context(self._replica.reading())
            if newest is None or has_head(session, newest):
                return session
        except DatabaseUnavailable:
            self._leave("failed")
        return None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseUnavailable, *UNAVAILABLE):
            self._leave("failed")
            raise

    def unchanging(self, read: Callable[[Session], Found]) -> Found:
        """Return what can only be there as it is, or not yet: from the replica if it has it. Raises NotPublished."""
        if self._is_there() and self._replica is not None:
            try:
                with self._replica.reading() as session:
                    return read(session)
            except NotPublished:
                pass  # the primary may be ahead
            except DatabaseUnavailable:
                self._leave("failed")
        with self._primary.reading() as session:
            return read(session)

    def _is_there(self) -> bool:
        return self._replica is not None and time.monotonic() >= self._away_until

    def _leave(self, why: str) -> None:
        self._away_until = time.monotonic() + AWAY_SECONDS
        logger.warning("the log is read from the primary", replica=why, seconds=AWAY_SECONDS)


def newest_head(session: Session) -> LogHead | None:
    """The newest head of the newest log."""
    return session.scalar(select(LogHead).order_by(LogHead.log_id.desc(), LogHead.size.desc()).limit(1))


def has_head(session: Session, head: LogHead) -> bool:
    """Whether this database has a head, and the same one: another's of the same size is no replica's."""
    same = LogHead.log_id == head.log_id, LogHead.size == head.size, LogHead.root == head.root
    return bool(session.scalar(select(exists().where(*same))))
