"""Impatience with PostgreSQL: an answer that does not come is given up here, since nothing below us would.

A server that is frozen, or behind a network that swallows everything, keeps its connections open and never answers. Its
own limits (statement_timeout) are not kept then, and TCP's notice nothing while the other system still acknowledges.
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, event

ANSWER_SECONDS = 4.5  # longer than the server's own limits, so that a slow one says itself what was too slow
PING_SECONDS = 1.5  # of an idle connection before it is used again; with connecting it stays below ANSWER_SECONDS
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
            connection.patience_seconds = PING_SECONDS

    @event.listens_for(engine, "checkout")
    def _work(connection: Any, _record: Any, _fairy: Any) -> None:
        connection.patience_seconds = ANSWER_SECONDS


class _ImpatientConnection(psycopg.Connection[Any]):
    """Gives up on a server that does not answer, and closes: what was asked of it may still be done."""

    patience_seconds: float = ANSWER_SECONDS

    def wait(self, gen: PQGen[Answer], *_: Any, **__: Any) -> Answer:
        try:
            return super().wait(gen, timeout=self.patience_seconds)
        except psycopg.OperationalError:
            if self.info.transaction_status == TransactionStatus.ACTIVE:  # no answer came
                self.close()
            raise
