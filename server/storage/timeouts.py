"""Impatience with PostgreSQL: an answer that does not come is given up here, since nothing below us would.

A server that is frozen, or behind a network that swallows everything, keeps its connections open and never answers. Its
own limits (statement_timeout) are not kept then, and TCP's notice nothing while the other system still acknowledges.
"""

import select
import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

ANSWER_SECONDS = 4.5  # longer than the server's own limits, so that a slow one says itself what was too slow
PING_SECONDS = 1.5  # of an idle connection before it is used again; with connecting it stays below ANSWER_SECONDS
IDLE_SECONDS = 1.0  # after which a connection is asked whether it still lives: at work, each use would cost two
CONNECT_SECONDS = 2

Answer = TypeVar("Answer")


def bound_waiting(engine: Engine) -> None:
    """Make every connection of a psycopg engine give up on a server that does not answer."""

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return _ImpatientConnection.connect(*arguments, **options)

    @event.listens_for(engine, "checkin")
    def _rest(connection: Any, _record: Any) -> None:
        if connection is not None:  # None: it was given up
            connection.rests_since = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _work(connection: Any, _record: Any, _fairy: Any) -> None:
        """Raises InvalidatePoolError: then it is a new one that is taken, and the others are closed, too."""
        if not connection.is_alive():
            raise InvalidatePoolError


class _ImpatientConnection(psycopg.Connection[Any]):
    """Gives up on a server that does not answer, and closes: what was asked of it may still be done."""

    patience_seconds: float = ANSWER_SECONDS
    was_given_up = False
    rests_since: float | None = None  # a moment of the monotonic clock; None: it is new

    def is_alive(self) -> bool:
        """Whether the server still answers, as far as one use after another shows; after a pause it is asked."""
        if self.rests_since is None:
            return True
        if self.closed or _has_something_to_say(self.fileno()):
            return False
        return time.monotonic() - self.rests_since < IDLE_SECONDS or self._answers()

    def _answers(self) -> bool:
        self.patience_seconds = PING_SECONDS
        try:
            with self.cursor() as cursor:
                cursor.execute("")
            if not self.autocommit:
                self.rollback()
        except psycopg.Error:
            return False
        finally:
            self.patience_seconds = ANSWER_SECONDS
        return True

    def wait(self, gen: PQGen[Answer], *_: Any, **__: Any) -> Answer:
        try:
            return super().wait(gen, timeout=self.patience_seconds)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:  # no answer came
                self.was_given_up = True
                self.close()
            raise


def _has_something_to_say(descriptor: int) -> bool:
    """Whether a server that was asked nothing has sent something: that it ends the connection, as a rule."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(0))
