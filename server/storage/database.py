"""The database: one way to read, one way to write, on SQLite and on PostgreSQL alike."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.errors import UniqueViolation
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.types import TypeDecorator

from server import traces
from server.storage import database_reasons, timeouts
from server.storage.group_commit import GroupCommit, WriterBusy
from server.storage.statements import DRIVER, Insertion, Row, Statement

# How long a statement may wait for a lock: then the caller is told to come back, instead of piling up.
LOCK_WAIT_SECONDS = 4
CONNECTIONS = 16  # to PostgreSQL, of one process at most; `deploy/README.md` counts with it


Result = TypeVar("Result")
AnyRow: TypeAlias = Any  # a named tuple; its columns are those of the query that gave it


class DatabaseUnavailable(Exception):
    """The database is down, locked or full. What was asked may or may not be stored: act as if it were not."""


class _ConnectionLost(psycopg.OperationalError):
    """The server ended the connection; `__cause__` says how."""


class RowTaken(Exception):
    """Another transaction stored a row of the same name or number first. Nothing of this one is stored."""


class WritingForbidden(Exception):
    """A transaction was asked for inside `nothing_is_written`."""


_FORBIDDEN: ContextVar[bool] = ContextVar("writing_forbidden", default=False)


@contextmanager
def nothing_is_written() -> Iterator[None]:
    """Let no code inside the block write, whatever it believes that it may do: a transaction is WritingForbidden."""
    token = _FORBIDDEN.set(True)
    try:
        yield
    finally:
        _FORBIDDEN.reset(token)


class Base(DeclarativeBase):
    """All tables. Constraint names are fixed so that both databases' migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# SQLite gives an automatic key only to a column that is literally INTEGER.
Key = BigInteger().with_variant(Integer(), "sqlite")


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite keeps none, so the zone is put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True
    python_type = datetime

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time needs a time zone: use aware UTC datetimes")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:
        """In one step where a query of a million rows has as many."""
        return _from_sqlite if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _from_sqlite(text: str | None) -> datetime | None:
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)  # put there by hand


class Database:
    """Opens transactions. `transaction` may write; `reading` cannot, and waits for nobody."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = make_url(url).get_backend_name()
        if self.dialect == "sqlite":
            self._readers = _sqlite_engine(url, begin="BEGIN", read_only=True)
            self._writer = _sqlite_engine(url, begin=None, read_only=False)  # the group begins
            self._single = _sqlite_engine(url, begin=None, read_only=True)
            self._local, self._open_readers = threading.local(), list[Connection]()
            self._group = GroupCommit(self._writer, Path(f"{make_url(url).database}.writer"), LOCK_WAIT_SECONDS)
        else:
            self._readers = self._writer = _postgresql_engine(url)
            self._single = _postgresql_engine(url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    @property
    def pools(self) -> list[QueuePool]:
        """PostgreSQL's connections; none of SQLite, which has one writer, and readers without number."""
        pools = (self._writer.pool, self._single.pool)
        return [pool for pool in pools if self.dialect == "postgresql" and isinstance(pool, QueuePool)]

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Yield a session; its work is durable when the block has been left without an error.

        Raises DatabaseUnavailable when the commit did not come back: the work may then be stored all the same.
        """
        _require_writing()
        with _typed_errors():
            if self.dialect == "sqlite":
                with self._group.alone() as session:
                    yield session
            else:
                with Session(self._writer, expire_on_commit=False) as session, session.begin():
                    yield session
                    session.flush()

    @traces.spanned("transaction")
    def together(self, work: Callable[[Session], Result]) -> Result:
        """Run short work in a transaction, perhaps shared with other callers' work; return once it is durable.

        The same promises as `transaction`: an error undoes this work alone. For what is asked often, since on SQLite
        all who ask at once then pay for one disk sync.
        """
        _require_writing()
        with _typed_errors():
            if self.dialect == "sqlite":
                return self._group.together(traces.kept(work))
            with Session(self._writer, expire_on_commit=False) as session, session.begin():
                return work(session)

    def put(self, insertion: Insertion, function: Statement[Row], **parameters: Any) -> int:
        """Insert by one statement that is a transaction; return how many rows it made, once they are durable.

        insertion: how on SQLite, whose disk sync is shared as in `together`. function: how on PostgreSQL, whose one
        column is the number of rows. Both are given all parameters.
        """
        _require_writing()
        with _typed_errors():
            if self.dialect == "sqlite":
                dialect = self._writer.dialect
                return self._group.one_statement(lambda driver: insertion.run_on(driver, dialect, **parameters))
            return int(self._alone(function, **parameters)[0][0] or 0)

    def look_up(self, statement: Statement[Row], **parameters: Any) -> Row | None:
        """Return the one row of a single select outside any transaction, or None."""
        with _typed_errors():
            if self.dialect == "sqlite":
                return statement.first(self._own_reader(), **parameters)
            try:
                rows = self._alone(statement, **parameters)
            except _ConnectionLost:  # as others will be that rest: reading once more on a new one does no harm
                self._single.dispose()
                self._writer.dispose()
                rows = self._alone(statement, **parameters)
            return rows[0] if rows else None

    def _alone(self, statement: Statement[Row], **parameters: Any) -> list[Row]:
        """PostgreSQL: what one statement gives that is a transaction; a session would cost more than it does.

        Raises _ConnectionLost when the server ended the connection, before or after the statement.
        """
        with closing(self._single.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            try:
                return statement.all_on(driver, self._single.dialect, **parameters)
            except psycopg.OperationalError as error:
                if not driver.closed:
                    raise
                connection.invalidate()
                if driver.was_given_up:
                    raise
                raise _ConnectionLost from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session on one consistent state that cannot write."""
        with _typed_errors(), Session(self._readers, autoflush=False) as session:
            if self.dialect == "postgresql":
                session.connection(
                    execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            yield session

    def _own_reader(self) -> Session:
        """SQLite: this thread's own session for single selects; opening one costs more than they do."""
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            connection = self._single.connect()
            self._open_readers.append(connection)
            driver = connection.connection.driver_connection
            session = self._local.session = Session(connection, info={DRIVER: driver})
        return session

    def close(self) -> None:
        if self.dialect == "sqlite":
            self._group.close()
            while self._open_readers:
                self._open_readers.pop().close()
        self._single.dispose()
        self._readers.dispose()
        self._writer.dispose()


# SQLAlchemy's own, and the drivers' for statements that are run on them.
UNAVAILABLE = (
    OperationalError, InterfaceError, InternalError, PoolTimeout, WriterBusy,
    sqlite3.OperationalError, sqlite3.InternalError,
    psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError,
)  # fmt: skip
# Whatever a statement may end with.
DATABASE_ERRORS = (RowTaken, DBAPIError, sqlite3.DatabaseError, psycopg.DatabaseError)


def _require_writing() -> None:
    if _FORBIDDEN.get():
        raise WritingForbidden


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        # The driver's text may quote parameters: only what its code means goes on.
        otherwise = "another process is writing to it" if isinstance(error, WriterBusy) else database_reasons.UNKNOWN
        raise DatabaseUnavailable(f"the database cannot be used: {database_reasons.reason(error, otherwise)}") from None
    except IntegrityError as error:
        if _is_unique_violation(error.orig):
            raise RowTaken("a row of the same name or number was stored first") from None
        raise
    except (DBAPIError, sqlite3.DatabaseError) as error:
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            raise DatabaseUnavailable("the connection to the database was lost") from None
        if database_reasons.is_damaged(error):
            raise DatabaseUnavailable(f"the database cannot be used: {database_reasons.reason(error)}") from None
        raise


def _is_unique_violation(error: BaseException | None) -> bool:
    """Whether a constraint was broken that only another row can break, as each driver says it."""
    unique = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
    return isinstance(error, UniqueViolation) or getattr(error, "sqlite_errorcode", None) in unique


def _sqlite_engine(url: str, *, begin: str | None, read_only: bool) -> Engine:
    engine = create_engine(
        url, connect_args={"check_same_thread": False, "timeout": LOCK_WAIT_SECONDS}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver's own BEGIN would come too late for BEGIN IMMEDIATE
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"query_only={int(read_only)}"):
            connection.execute(f"PRAGMA {pragma}").close()

    if begin is not None:
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _postgresql_engine(url: str, **more: Any) -> Engine:
    options = (
        f"-c lock_timeout={LOCK_WAIT_SECONDS * 1000} -c statement_timeout={LOCK_WAIT_SECONDS * 1000} "
        "-c idle_in_transaction_session_timeout=15000 -c timezone=UTC"
    )
    engine = create_engine(
        url,
        pool_size=CONNECTIONS // 2,  # one pool for transactions, and one for single statements
        max_overflow=0,
        pool_timeout=LOCK_WAIT_SECONDS,
        hide_parameters=True,
        use_native_hstore=False,  # no column of ours is one, and asking costs each new connection a transaction
        connect_args={
            "options": options,
            "connect_timeout": timeouts.CONNECT_SECONDS,
            "application_name": "weightgate",
        },
        **more,
    )
    timeouts.bound_waiting(engine)

    @event.listens_for(engine, "checkin")
    def _as_the_server_says(connection: Any, _record: Any) -> None:
        # Once `reading` has used it, it would demand READ WRITE of a server that is told to be read only.
        if connection is not None and not connection.closed:
            connection.read_only = None

    return engine
