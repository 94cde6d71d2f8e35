"""Authority: whether anything that a decision rests on has changed since it was read, said by one random number.

The database changes the number whenever such a row changes, whoever changes it, and on PostgreSQL has whoever does so
wait until nobody is appending under the old one (the migration that makes the table has the triggers and the lock). So
an entry that is appended under a number that still holds rests on what is true now. Random, since a restored backup
must not bring back a number that stood for something else.
"""

import threading
from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, String, bindparam, func, insert, literal_column, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import traces
from server.log import condition, entries
from server.log.entries import Appended, LogEntry, NoLog
from server.storage import database_reasons
from server.storage.database import DATABASE_ERRORS, Base, Database, Key
from server.storage.statements import Insertion, Statement

Value = TypeVar("Value")
KEPT_AT_MOST = 4096  # of one kind in a process, some 2 KB each
LOCK = 8_245_919_310_247_001  # PostgreSQL's advisory lock, as the migration has it


class Authority(Base):
    """The one row that says under which generation decisions are made."""

    __tablename__ = "authority"
    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    generation: Mapped[str] = mapped_column(String(36))


class _Generation(NamedTuple):
    generation: str


class _Count(NamedTuple):
    rows: int | None  # the function always says a number


class Changed(Exception):
    """Something has changed since what was relied on was read. Nothing was appended: read all of it again."""


class Kept(Generic[Value]):
    """Values that were read under a generation, which their user must find to be still the one: the newest few thousand
    of each database."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Database, dict[Hashable, Value]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def put(self, database: Database, key: Hashable, value: Value) -> None:
        with self._lock:
            kept = self._of.setdefault(database, {})
            kept.pop(key, None)  # it is the newest now
            while len(kept) >= KEPT_AT_MOST:
                del kept[next(iter(kept))]
            kept[key] = value

    def find(self, database: Database, key: Hashable) -> Value | None:
        return self._of.get(database, {}).get(key)


def hold(session: Session) -> str:
    """Let nothing change that a decision rests on until the transaction ends; returns the generation that it is under.

    What is read after it is what holds. SQLite's transactions hold everything anyhow.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_SHARE)
    return current(session)


def hold_alone(session: Session) -> None:
    """Wait until nobody appends under the generation, and keep all from it until the transaction ends.

    For who then locks what an entry needs, such as its log: taken in the other order, the two wait for each other.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_ALONE)


def current(session: Session) -> str:
    """The generation that what this session reads is under. Raises NoLog."""
    row = _CURRENT.first(session)
    if row is None:
        raise NoLog("the database has no authority row: restore a backup")
    return row.generation


@traces.spanned("append")
def append_under(
    database: Database, generation: str, log_id: int, kind: str, at: datetime, record: Mapping[str, Any], **columns: Any
) -> Appended | None:
    """Append one entry in a transaction of its own, if this is still the generation and this log is sound at `at`.

    None: it is not, nothing was appended, and everything must be read again. columns: as those of `entries.append`.
    Raises NoLog, NotCanonical, DatabaseUnavailable.
    """
    appended = entries.prepare(kind, at, record)
    values = entries.values_of(kind, at, record, appended, **columns)
    try:
        made = database.put(
            _APPEND, _APPEND_FUNCTION, generation=generation, log_id=log_id, **values,
            ahead_from=at + entries.CLOCKS_DIFFER_BY, unsealed_since=at - condition.SEALED_WITHIN,
        )  # fmt: skip
    except DATABASE_ERRORS as error:
        why = database_reasons.reason(error, otherwise=type(error).__name__)
        raise NoLog(f"the log did not accept the entry (database: {why})") from None
    return appended if made == 1 else None


_SHARE = select(func.pg_advisory_xact_lock_shared(literal_column(str(LOCK))))
_ALONE = select(func.pg_advisory_xact_lock(literal_column(str(LOCK))))
_THE_GENERATION = select(Authority.generation).where(Authority.id == 1)
GENERATION = _THE_GENERATION.scalar_subquery().label("generation")  # for a select of what is then kept under it
_CURRENT = Statement(_THE_GENERATION, _Generation)
_TYPES = {name: LogEntry.__table__.c[name].type for name in entries.GIVEN}
_LATER = {"ahead_from": LogEntry.__table__.c.appended_at.type, "unsealed_since": LogEntry.__table__.c.appended_at.type}
_newest = condition.newest("ahead_from").subquery()
_APPEND = Insertion(
    insert(LogEntry).from_select(
        ["log_id", *entries.GIVEN],
        select(bindparam("log_id", type_=Key), *(bindparam(name, type_=kind) for name, kind in _TYPES.items())).where(
            Authority.id == 1,
            Authority.generation == bindparam("generation"),
            _newest.c.id == bindparam("log_id"),
            _newest.c.stop_reason.is_(None),
            _newest.c.ahead.is_(None),
            func.coalesce(_newest.c.oldest >= bindparam("unsealed_since", type_=_LATER["unsealed_since"]), True),
        ),
        include_defaults=False,
    )
)
_APPEND_FUNCTION = Statement(
    select(
        func.append_under(
            bindparam("generation", type_=String()), bindparam("log_id", type_=BigInteger()),
            *(bindparam(name, type_=_TYPES[name]) for name in entries.GIVEN),
            *(bindparam(name, type_=kind) for name, kind in _LATER.items()),
            type_=Key,
        ).label("rows")
    ),
    _Count,
)  # fmt: skip
