"""Entries: what was done, as bytes, in the order in which it was done. Only ever appended."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    TypeDecorator,
    UniqueConstraint,
    bindparam,
    cast,
    insert,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.log import canonical
from server.storage import database_reasons
from server.storage.database import DATABASE_ERRORS, Base, Key, Moment
from server.storage.statements import Insertion

COMMITMENT_PREFIX = b"weightgate-commit/v1\n"
SALT_BYTES = 32
CLOCKS_DIFFER_BY = timedelta(seconds=60)  # at most, between machines; `log verify` finds more


class Bytes(TypeDecorator[bytes]):
    """Bytes, also where SQLite holds text in a column of bytes: what edits by hand leave there is read and compared."""

    impl = LargeBinary
    cache_ok = True
    python_type = bytes

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(cast(column, LargeBinary), self)


def name_of(entry_id: int, place: int | None) -> str:
    """How an entry is named to people: by its place in its log, and by its row until the sealer has given it one."""
    return f"an unsealed entry (row {entry_id})" if place is None else f"entry {place}"


class NoLog(Exception):
    """The log took no entry: the instance was not initialized, or the database refused it."""


class Log(Base):
    """One log: an origin, and the entries that belong to it. The newest one is appended to."""

    __tablename__ = "logs"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    origin: Mapped[str] = mapped_column(String(300), unique=True)
    created_at: Mapped[datetime] = mapped_column(Moment)
    vkey: Mapped[str] = mapped_column(String(400))  # C2SP signed-note verifier key of its heads
    receipt_vkey: Mapped[str] = mapped_column(String(400))  # and of the receipts for its entries
    closed_at: Mapped[datetime | None] = mapped_column(Moment)  # when the log after it was opened
    stopped_at: Mapped[datetime | None] = mapped_column(Moment)  # set when it was found to have been changed
    stop_reason: Mapped[str | None] = mapped_column(String(1000))


class LogEntry(Base):
    """One act. `record` is canonical JSON; `commitment` is all that the public will see of it."""

    __tablename__ = "log_entries"
    __table_args__ = (
        UniqueConstraint("log_id", "leaf_index"),
        Index("ix_log_entries_organization_id_kind_id", "organization_id", "kind", "id"),
        Index("ix_log_entries_organization_id_id", "organization_id", "id"),
        Index("ix_log_entries_kind_id", "kind", "id"),
        Index("ix_log_entries_person_id", "person", "id"),
        Index("ix_log_entries_stage_id", "stage", "id"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    log_id: Mapped[int] = mapped_column(ForeignKey("logs.id"))
    kind: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(200), index=True)  # what the act is about, e.g. a download's id
    organization_id: Mapped[int | None] = mapped_column(Key)
    person: Mapped[str | None] = mapped_column(String(254))  # who acted, by the record's `actor`
    stage: Mapped[str | None] = mapped_column(String(200))
    code: Mapped[str | None] = mapped_column(String(64))  # which of its kind, e.g. what an alarm is about
    appended_at: Mapped[datetime] = mapped_column(Moment, index=True)
    record: Mapped[bytes] = mapped_column(Bytes)
    salt: Mapped[bytes] = mapped_column(Bytes)
    commitment: Mapped[bytes] = mapped_column(Bytes)
    leaf_index: Mapped[int | None] = mapped_column(Key)  # given by the sealer, never by a sequence


OPEN = select(Log.id).where(Log.closed_at.is_(None))
WAITS_FOR_SEAL = LogEntry.leaf_index.is_(None), LogEntry.log_id.in_(OPEN)  # not what an abandoned log left behind
IS_ACT = LogEntry.kind != literal_column("'heartbeat'")  # in the words of its index, or it would not be used
Index("ix_log_entries_acts", LogEntry.id, sqlite_where=IS_ACT, postgresql_where=IS_ACT)
Index("ix_log_entries_code_id", LogEntry.code, LogEntry.id, sqlite_where=LogEntry.code.is_not(None),
      postgresql_where=LogEntry.code.is_not(None))  # fmt: skip
# The log of an entry that waits for its seal, and an entry's id beside its time: written as expressions, so that
# PostgreSQL cannot pick another index. The one on (log_id, leaf_index) still holds a dead NULL for each entry that was
# sealed since the last vacuum; the one on id holds them all.
LOG_OF_WAITING, ID_BESIDE_TIME = LogEntry.log_id + 0, LogEntry.id + 0
Index("ix_log_entries_unsealed", LogEntry.id, sqlite_where=LogEntry.leaf_index.is_(None),
      postgresql_where=LogEntry.leaf_index.is_(None))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Appended:
    """What the caller needs to prove later that its act is in the log. time_ms: as in the record."""

    record: bytes
    salt: bytes
    commitment: bytes
    time_ms: int


def commitment_of(salt: bytes, record: bytes) -> bytes:
    """Return the 32 bytes that stand for an entry in the public log."""
    return hashlib.sha256(COMMITMENT_PREFIX + salt + record).digest()


def open_log(session: Session, vkey: str, receipt_vkey: str, at: datetime) -> Log:
    """Begin a log; entries go to the newest from now on. Its origin `<host>/downloads/<name>` is its key's name."""
    origin = vkey.partition("+")[0]
    name = origin.rpartition("/")[2]
    log = Log(name=name, origin=origin, vkey=vkey, receipt_vkey=receipt_vkey, created_at=at)
    session.add(log)
    session.flush()
    return log


def append(
    session: Session,
    *,
    kind: str,
    at: datetime,
    record: Mapping[str, Any],
    organization_id: int | None = None,
    subject: str | None = None,
    stage: str | None = None,
    code: str | None = None,
    log_id: int | None = None,
) -> Appended:
    """Append one entry as part of the caller's transaction; make it the last statement, so its order is the log's.

    `version`, `kind` and `time` (unix milliseconds) are written into the record here. log_id: the newest log when left
    out. Raises NoLog, also when the log was closed a moment ago (try again), and NotCanonical.
    """
    appended = prepare(kind, at, record)
    values = values_of(
        kind, at, record, appended, organization_id=organization_id, subject=subject, stage=stage, code=code
    )
    session.flush()  # what the act changed is written before the entry that tells of it
    try:
        made = _APPEND.run(session, **values) if log_id is None else _APPEND_TO.run(session, log_id=log_id, **values)
    except DATABASE_ERRORS as error:  # a guard, a broken table, a full disk: without an entry nothing may follow
        why = database_reasons.reason(error, otherwise=type(error).__name__)
        raise NoLog(f"the log did not accept the entry (database: {why})") from None
    if made != 1:
        raise NoLog("no log to append to: run `weightgate-server init`")
    return appended


def prepare(kind: str, at: datetime, record: Mapping[str, Any]) -> Appended:
    """Return an entry's bytes under a new salt; nothing is appended. Raises NotCanonical."""
    time_ms = dates.milliseconds(at)
    content = canonical.encode({**record, "version": 1, "kind": kind, "time": time_ms})
    salt = secrets.token_bytes(SALT_BYTES)
    return Appended(content, salt, commitment_of(salt, content), time_ms)


def values_of(
    kind: str,
    at: datetime,
    record: Mapping[str, Any],
    prepared: Appended,
    *,
    organization_id: int | None = None,
    subject: str | None = None,
    stage: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """The columns of an entry's row, but its log."""
    return {
        "kind": kind, "subject": subject, "organization_id": organization_id, "appended_at": at,
        "person": record.get("actor", {}).get("person"), "stage": stage, "code": code,
        "record": prepared.record, "salt": prepared.salt, "commitment": prepared.commitment,
    }  # fmt: skip


GIVEN = ("kind", "subject", "organization_id", "person", "stage", "code", "appended_at", "record", "salt", "commitment")
_NEWEST = select(Log.id, *(bindparam(name, type_=LogEntry.__table__.c[name].type) for name in GIVEN))
_APPEND = Insertion(
    insert(LogEntry).from_select(["log_id", *GIVEN], _NEWEST.order_by(Log.id.desc()).limit(1), include_defaults=False)
)
_APPEND_TO = Insertion(insert(LogEntry).inline().values({name: bindparam(name) for name in ("log_id", *GIVEN)}))
