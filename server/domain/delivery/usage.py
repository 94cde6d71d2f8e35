"""Usage: how much was issued and how much was fetched lately, by an organization or of a stage."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.delivery import deliveries
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.log.archived import is_archived
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
    span = Span(len(issued), sum(one.size_bytes for one in issued))
    span.fetched_bytes = sum(deliveries.fetched_bytes(session, [one.id for one in issued]).values())
    return span, at_least


class _Issued(NamedTuple):
    id: str
    at: datetime
    size_bytes: int


def _usage(session: Session, caller: Caller, where: ColumnElement[bool], at: datetime) -> Usage:
    week, month = Span(), Span()
    issued, at_least = _issued(session, caller, where, at - MONTH)
    young = {one.id: one.at >= at - WEEK for one in issued}  # whether it is of the last week
    for one in issued:
        for span in (month, week) if young[one.id] else (month,):
            span.downloads += 1
            span.issued_bytes += one.size_bytes
    for download_id, sent in deliveries.fetched_bytes(session, young).items():
        for span in (month, week) if young[download_id] else (month,):
            span.fetched_bytes += sent
    return Usage(week, month, at_least)


def _issued(
    session: Session, caller: Caller, where: ColumnElement[bool], since: datetime
) -> tuple[list[_Issued], bool]:
    """The newest downloads from a moment on, as far as is looked; whether there may be more."""
    found: list[_Issued] = []
    looked_at, read_bytes = 0, 0
    with session.execute(_newest(caller, where)) as rows:
        for row in rows:
            if row.appended_at < since - CLOCKS_DIFFER_BY:
                break
            looked_at, read_bytes = looked_at + 1, read_bytes + len(row.record)
            if read_bytes > RECORD_BYTES_AT_ONCE:
                break
            if is_archived(row):  # and so is what was before
                return found, True
            if row.kind == EntryKind.DOWNLOAD and row.record and row.appended_at >= since:
                record = orjson.loads(row.record)
                size_bytes = sum(file["size_bytes"] for file in record["files"])
                found.append(_Issued(record["download"], row.appended_at, size_bytes))
    return found, looked_at == LOOKED_AT_ONCE or read_bytes > RECORD_BYTES_AT_ONCE


def _newest(caller: Caller, where: ColumnElement[bool]) -> Select[str, datetime, bytes, bytes]:
    caller.require(Permission.DOWNLOAD_READ)
    # The kind is looked at later: with it, SQLite would look for the stage among the downloads of all.
    query = select(LogEntry.kind, LogEntry.appended_at, LogEntry.record, LogEntry.salt)
    query = query.where(where, *caller.within(LogEntry.organization_id))
    return query.order_by(LogEntry.id.desc()).limit(LOOKED_AT_ONCE).execution_options(yield_per=100)
