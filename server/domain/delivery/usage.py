"""Usage: how much was issued and how much was fetched lately, by an organization or of a stage."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.delivery.deliveries import Delivery
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.log.archived import is_archived
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry

WEEK, MONTH = timedelta(days=7), timedelta(days=30)
LOOKED_AT_ONCE = 1000  # downloads; where there were more, what is said is "at least"
RECORD_BYTES_AT_ONCE = 32_000_000


class _Issued(NamedTuple):
    at: datetime
    size_bytes: int
    fetched_bytes: int


@dataclass(slots=True)
class Span:
    """One span of time. Bytes that were fetched may grow for two days more."""

    downloads: int = 0
    issued_bytes: int = 0
    fetched_bytes: int = 0

    def add(self, one: _Issued) -> None:
        self.downloads += 1
        self.issued_bytes += one.size_bytes
        self.fetched_bytes += one.fetched_bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """The last 7 and the last 30 days; `at_least`: there were more downloads than were looked at."""

    week: Span
    month: Span
    at_least: bool


def by_organization(session: Session, caller: Caller, organization_id: int, at: datetime) -> Usage:
    return _usage(session, caller, LogEntry.organization_id == organization_id, at)


def of_stage(session: Session, caller: Caller, full_name: str, at: datetime) -> Usage:
    """What the caller may see of it: partners their organization's."""
    return _usage(session, caller, LogEntry.stage == full_name, at)


def downloads_of_checkpoint(session: Session, caller: Caller, full_name: str, checkpoint_id: str) -> tuple[int, bool]:
    """How often a checkpoint is among its stage's newest downloads, and whether there are more not looked at.

    Those are older ones, and those whose records were archived.
    """
    query = _newest(caller, LogEntry.stage == full_name)
    looked_at, found, archived = 0, 0, 0
    with session.execute(query) as rows:
        for row in rows:
            looked_at += 1
            if row.kind == EntryKind.DOWNLOAD and row.record:
                found += orjson.loads(row.record)["checkpoint"] == checkpoint_id
            archived += is_archived(row)
    return found, archived > 0 or looked_at == LOOKED_AT_ONCE


def of_model_since(
    session: Session, caller: Caller, organization_id: int, model: str, since: datetime
) -> tuple[Span, bool]:
    """What an organization was issued of a model from a moment on; whether there was more than was looked at."""
    mine = (LogEntry.organization_id == organization_id) & LogEntry.stage.startswith(f"{model}/", autoescape=True)
    issued, at_least = _issued(session, caller, mine, since)
    span = Span()
    for one in issued:
        span.add(one)
    return span, at_least


def _usage(session: Session, caller: Caller, where: ColumnElement[bool], at: datetime) -> Usage:
    week, month = Span(), Span()
    issued, at_least = _issued(session, caller, where, at - MONTH)
    for one in issued:
        month.add(one)
        if one.at >= at - WEEK:
            week.add(one)
    return Usage(week, month, at_least)


def _issued(
    session: Session, caller: Caller, where: ColumnElement[bool], since: datetime
) -> tuple[list[_Issued], bool]:
    """The newest downloads from a moment on, as far as is looked; whether there may be more."""
    found: list[_Issued] = []
    looked_at, read_bytes, earliest = 0, 0, since - CLOCKS_DIFFER_BY
    sent = select(func.sum(Delivery.bytes_sent)).where(Delivery.download_id == LogEntry.subject)
    query = _newest(caller, where).add_columns(sent.correlate(LogEntry).scalar_subquery())
    with session.execute(query) as rows:
        for row in rows:
            kind, appended_at, record, _, fetched_bytes = row
            if appended_at < earliest:
                break
            looked_at, read_bytes = looked_at + 1, read_bytes + len(record)
            if read_bytes > RECORD_BYTES_AT_ONCE:
                break
            if is_archived(row):  # and so is what was before
                return found, True
            if kind == EntryKind.DOWNLOAD and record and appended_at >= since:
                size_bytes = sum([file["size_bytes"] for file in orjson.loads(record)["files"]])
                found.append(_Issued(appended_at, size_bytes, int(fetched_bytes or 0)))
    return found, looked_at == LOOKED_AT_ONCE or read_bytes > RECORD_BYTES_AT_ONCE


def _newest(caller: Caller, where: ColumnElement[bool]) -> Select[str, datetime, bytes, bytes]:
    caller.require(Permission.DOWNLOAD_READ)
    # The kind is looked at later: with it, SQLite would look for the stage among the downloads of all.
    query = select(LogEntry.kind, LogEntry.appended_at, LogEntry.record, LogEntry.salt)
    query = query.where(where, *caller.within(LogEntry.organization_id))
    return query.order_by(LogEntry.id.desc()).limit(LOOKED_AT_ONCE).execution_options(yield_per=100)
