"""Counting: every statement that a piece of work sends to its database, seen at the driver and not above it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import event

from server.storage.database import Database

# What asks for nothing: a transaction's brackets, and the pool's ping. SQLite tells a statement again for each trigger.
NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", ";")


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Yield the texts of the statements that run meanwhile, whoever sends them: the ORM, or the driver itself.

    SQLite tells them as it runs them. With PostgreSQL each goes through a cursor of the driver.
    """
    seen: list[str] = []
    connections: list[Any] = [connection.connection.driver_connection for connection in _kept_open(database)]

    def watch(connection: Any, *_: Any) -> None:
        connections.append(connection)
        _listen(connection, seen)

    for connection in list(connections):
        _listen(connection, seen)
    pools = {engine.pool for engine in (database._readers, database._writer, database._single)}
    for pool in pools:
        event.listen(pool, "checkout", watch)
    try:
        yield seen
    finally:
        for pool in pools:
            event.remove(pool, "checkout", watch)
        for connection in connections:
            _let_go(connection)


def _kept_open(database: Database) -> list[Any]:
    return [*database._open_readers, database._group.connection()] if database.dialect == "sqlite" else []


def _listen(connection: Any, seen: list[str]) -> None:
    def note(text: str) -> None:
        if not text.startswith(NOT_COUNTED):
            seen.append(text)

    if isinstance(connection, psycopg.Connection):
        connection.cursor_factory = _noting(note)
    else:
        connection.set_trace_callback(note)


def _noting(note: Any) -> type[psycopg.Cursor[Any]]:
    class Noting(psycopg.Cursor[Any]):
        """A cursor that tells what it is given."""

        def execute(self, query: Any, *args: Any, **more: Any) -> Any:
            note(query if isinstance(query, str) else repr(query))
            return super().execute(query, *args, **more)

        def executemany(self, query: Any, *args: Any, **more: Any) -> None:
            note(query if isinstance(query, str) else repr(query))
            super().executemany(query, *args, **more)

    return Noting


def _let_go(connection: Any) -> None:
    if isinstance(connection, psycopg.Connection):
        connection.cursor_factory = psycopg.Cursor
    else:
        connection.set_trace_callback(None)
