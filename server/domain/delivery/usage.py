"""Usage: how much was issued and how much was fetched lately, by an organization or of a stage."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.delivery import deliveries
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry

WEEK, MONTH = timedelta(days=7), timedelta(days=30)
LOOKED_AT_ONCE = 1000  # downloads; where there were more, what is said is "at least"
RECORD_BYTES_AT_ONCE = 32_000_000


@dataclass(slots=True)
class Span:
    """One span of time. Bytes that were fetched may grow for two days more."""

    downloads: int = 0
    issued_bytes: int = 0
    fetched_bytes: int = 0


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
    """How often a checkpoint is among its stage's newest downloads, and whether there are older ones not looked at."""
    query = _newest(caller, LogEntry.stage == full_name)
    looked_at, found = 0, 0
    with session.execute(query) as rows:
        for row in rows:
            looked_at += 1
            if row.kind == EntryKind.DOWNLOAD and row.record:
                found += orjson.loads(row.record)["checkpoint"] == checkpoint_id
    return found, looked_at == LOOKED_AT_ONCE


def _usage(session: Session, caller: Caller, where: ColumnElement[bool], at: datetime) -> Usage:
    week, month = Span(), Span()
    young: dict[str, bool] = {}  # download → whether it is of the last week
    looked_at, read_bytes = 0, 0
    with session.execute(_newest(caller, where)) as rows:
        for row in rows:
            if row.appended_at < at - MONTH - CLOCKS_DIFFER_BY:
                break
            looked_at, read_bytes = looked_at + 1, read_bytes + len(row.record)
            if read_bytes > RECORD_BYTES_AT_ONCE:
                break
            if row.kind == EntryKind.DOWNLOAD and row.record and row.appended_at >= at - MONTH:
                record = orjson.loads(row.record)
                young[record["download"]] = row.appended_at >= at - WEEK
                size_bytes = sum(file["size_bytes"] for file in record["files"])
                for span in (month, week) if young[record["download"]] else (month,):
                    span.downloads += 1
                    span.issued_bytes += size_bytes
    for download_id, sent in deliveries.fetched_bytes(session, young).items():
        for span in (month, week) if young[download_id] else (month,):
            span.fetched_bytes += sent
    return Usage(week, month, looked_at == LOOKED_AT_ONCE or read_bytes > RECORD_BYTES_AT_ONCE)


def _newest(caller: Caller, where: ColumnElement[bool]) -> Select[str, datetime, bytes]:
    caller.require(Permission.DOWNLOAD_READ)
    # The kind is looked at later: with it, SQLite would look for the stage among the downloads of all.
    query = select(LogEntry.kind, LogEntry.appended_at, LogEntry.record)
    query = query.where(where, *caller.within(LogEntry.organization_id))
    return query.order_by(LogEntry.id.desc()).limit(LOOKED_AT_ONCE).execution_options(yield_per=100)
