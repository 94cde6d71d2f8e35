"""Turns: of two that migrate a database at the same moment, one waits, and then finds nothing left to do."""

import fcntl
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager

import structlog
from sqlalchemy import create_engine, make_url, pool, text

WAIT_SECONDS = 900  # for another one's migration of a large table
LOCK = 0x77677363686D61  # of this database, for schema and rights: an advisory lock's number means what we say
TRIED_EVERY_SECONDS = 0.1
logger = structlog.get_logger(__name__)


class NotYourTurn(Exception):
    """Another migration of this database did not end. The text says what to do."""

    def __init__(self) -> None:
        super().__init__(
            f"another migration of this database has been running for {WAIT_SECONDS // 60} minutes: wait for it, or "
            "end its process, then run the same command again"
        )


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Hold the one right to change the schema at `url`; it ends with the process that holds it, however that ends.

    Raises NotYourTurn, SQLAlchemyError.
    """
    holding = _on_sqlite(url) if make_url(url).get_backend_name() == "sqlite" else _on_postgresql(url)
    with closing(holding):
        deadline, told = time.monotonic() + WAIT_SECONDS, False
        for has_turn in holding:
            if has_turn:
                yield
                return
            if time.monotonic() > deadline:
                raise NotYourTurn
            if not told:
                logger.warning("another migration of this database is running; waiting for it")
                told = True
            time.sleep(TRIED_EVERY_SECONDS)


def _on_postgresql(url: str) -> Generator[bool]:
    """Try once a step. A transaction's lock, not a session's: it is right behind a pooler of connections, too."""
    engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        while True:
            yield bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}))


def _on_sqlite(url: str) -> Generator[bool]:
    """The same with a file beside the database, which stays: whoever removed it could let two in."""
    file = os.open(f"{make_url(url).database}.migration", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
    finally:
        os.close(file)
