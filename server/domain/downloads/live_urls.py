"""Live URLs: which of the signed URLs that were issued still work, and until when. Cutting alone ends one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.domain.release.holds import EVERYTHING, concerned
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry
from server.settings import URL_LIFETIME_SECONDS_AT_MOST

LIFETIME_AT_MOST = timedelta(seconds=URL_LIFETIME_SECONDS_AT_MOST)
LOOKED_AT_ONCE = 1000  # entries; where more are young, what is said is "at least"
SHOWN = 20


@dataclass(frozen=True, slots=True)
class LiveDownload:
    """A download whose URLs still work."""

    id: str
    organization: str | None
    person: str | None
    stage: str
    urls: int
    until: datetime


@dataclass(frozen=True, slots=True)
class LiveUrls:
    """What still works. `more`: there may be more than was counted; all the same none works after `until`."""

    downloads: list[LiveDownload]  # newest first, at most SHOWN
    count: int
    urls: int
    until: datetime | None
    more: bool


def under_clearance(
    session: Session, caller: Caller, clearance_id: int, organization_id: int, at: datetime
) -> LiveUrls:
    """Those that were issued on the authority of a clearance."""
    return _live(
        session,
        caller,
        at,
        LogEntry.organization_id == organization_id,
        lambda record: record.get("clearance") == clearance_id,
    )


def of_organization(session: Session, caller: Caller, organization_id: int, at: datetime) -> LiveUrls:
    """Those that were issued to an organization, on whatever authority."""
    return _live(session, caller, at, LogEntry.organization_id == organization_id)


def of_held(session: Session, caller: Caller, on: str, at: datetime) -> LiveUrls:
    """Those of a stage (`model/stage`), a model, `everything` or an organization: what a hold would be on."""
    if on == EVERYTHING:
        return _live(session, caller, at)
    if (organization_id := concerned(session, on)) is not None:
        return of_organization(session, caller, organization_id, at)
    if "/" in on:
        return _live(session, caller, at, LogEntry.stage == on)
    return _live(session, caller, at, None, lambda record: record["model"] == on)


def _live(
    session: Session,
    caller: Caller,
    at: datetime,
    where: ColumnElement[bool] | None = None,
    matches: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> LiveUrls:
    """Go through the youngest entries, newest first, until all of them are too old: on an index, and bounded.

    Of one's own organization's downloads; for staff of everybody's.
    """
    caller.require(Permission.DOWNLOAD_READ)
    query = select(LogEntry.kind, LogEntry.appended_at, LogEntry.record)
    # With both, SQLite would look for the stage among the downloads of all: a stage's entries are downloads, but a few.
    query = query.where(LogEntry.kind == EntryKind.DOWNLOAD if where is None else where)
    query = query.where(*caller.within(LogEntry.organization_id))
    query = query.order_by(LogEntry.id.desc()).limit(LOOKED_AT_ONCE).execution_options(yield_per=100)
    found: list[LiveDownload] = []
    looked_at = 0
    with session.execute(query) as rows:
        for row in rows:
            if row.appended_at < at - LIFETIME_AT_MOST - CLOCKS_DIFFER_BY:
                break
            looked_at += 1
            record = orjson.loads(row.record) if row.kind == EntryKind.DOWNLOAD and row.record else None
            # What S3 tools fetch with a key is decided at each request: there is no URL that outlives a refusal.
            if record and "door" not in record and matches(record) and (live := _download(record)).until > at:
                found.append(live)
    until = max((live.until for live in found), default=None)
    more = looked_at == LOOKED_AT_ONCE
    return LiveUrls(found[:SHOWN], len(found), sum(live.urls for live in found), until, more)


def _download(record: dict[str, Any]) -> LiveDownload:
    issued_at = issuing.issued_at(record).replace(microsecond=0)
    return LiveDownload(
        id=record["download"],
        organization=record["actor"].get("organization"),
        person=record["actor"].get("person"),
        stage=f"{record['model']}/{record['stage']}",
        urls=len(record["files"]),
        until=issued_at + timedelta(seconds=record["lifetime_seconds"]),
    )
