"""Live URLs: which of the signed URLs that were issued still work, and until when. Cutting alone ends one.

And which keys that the store made for S3 tools, which live longer and are counted apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.downloads import issuing, session_downloads
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Permission
from server.domain.release.holds import EVERYTHING, concerned
from server.log.entries import CLOCKS_DIFFER_BY, LogEntry
from server.settings import URL_LIFETIME_SECONDS_AT_MOST
from server.storage.database import AnyRow

LIFETIME_AT_MOST = timedelta(seconds=URL_LIFETIME_SECONDS_AT_MOST)
LOOKED_AT_ONCE = 1000  # entries; where more are young, what is said is "at least"
ASKED_AT_ONCE = 200  # by their IDs
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
    has_keys: bool = False


@dataclass(frozen=True, slots=True)
class LiveUrls:
    """What still works. `more`: there may be more than was counted; all the same none works after `until`."""

    downloads: list[LiveDownload]  # newest first, at most SHOWN
    count: int
    urls: int
    until: datetime | None
    more: bool
    keys: int = 0  # downloads whose keys the store made; they are no URLs
    keys_until: datetime | None = None
    urls_until: datetime | None = None


def under_clearance(
    session: Session, caller: Caller, clearance_id: int, organization_id: int, at: datetime
) -> LiveUrls:
    """Those that were issued on the authority of a clearance."""
    wanted = _Wanted(organization_id, matches=lambda record: record.get("clearance") == clearance_id)
    return _live(session, caller, at, wanted)


def of_organization(session: Session, caller: Caller, organization_id: int, at: datetime) -> LiveUrls:
    """Those that were issued to an organization, on whatever authority."""
    return _live(session, caller, at, _Wanted(organization_id))


def of_held(session: Session, caller: Caller, on: str, at: datetime) -> LiveUrls:
    """Those of a stage (`model/stage`), a model, `everything` or an organization: what a hold would be on."""
    if on == EVERYTHING:
        return _live(session, caller, at, _Wanted())
    if (organization_id := concerned(session, on)) is not None:
        return of_organization(session, caller, organization_id, at)
    if "/" in on:
        return _live(session, caller, at, _Wanted(stage=on))
    return _live(session, caller, at, _Wanted(matches=lambda record: record["model"] == on))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which downloads are asked for; None: of any."""

    organization_id: int | None = None
    stage: str | None = None
    matches: Callable[[dict[str, Any]], bool] = lambda _: True

    def condition(self) -> ColumnElement[bool]:
        """On an index. With the kind as well, SQLite would look for a stage among the downloads of all: a stage's
        entries are downloads, but a few."""
        if self.organization_id is not None:
            return LogEntry.organization_id == self.organization_id
        return LogEntry.kind == EntryKind.DOWNLOAD if self.stage is None else LogEntry.stage == self.stage

    def holds(self, row: AnyRow) -> bool:
        """The same, of an entry at hand."""
        is_of_organization = self.organization_id in {None, row.organization_id}
        return is_of_organization and self.stage in {None, row.stage}


def _live(session: Session, caller: Caller, at: datetime, wanted: _Wanted) -> LiveUrls:
    """Of one's own organization's downloads; for staff of everybody's."""
    caller.require(Permission.DOWNLOAD_READ)
    urls, looked_at = _with_urls(session, caller, at, wanted)
    keys, asked_for = _with_keys(session, caller, at, wanted)
    every = sorted([*urls, *keys], key=lambda live: live.id, reverse=True)  # by when they were issued
    more = LOOKED_AT_ONCE in {looked_at, asked_for}
    of_urls = sum(live.urls for live in urls)
    ends = (_last(every), more, len(keys), _last(keys), _last(urls))
    return LiveUrls(every[:SHOWN], len(every), of_urls, *ends)


def _last(found: Sequence[LiveDownload]) -> datetime | None:
    return max((live.until for live in found), default=None)


def _with_urls(session: Session, caller: Caller, at: datetime, wanted: _Wanted) -> tuple[list[LiveDownload], int]:
    """Go through the youngest entries, newest first, until all of them are too old: on an index, and bounded."""
    query = select(LogEntry.kind, LogEntry.appended_at, LogEntry.record).where(wanted.condition())
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
            if record and "door" not in record and wanted.matches(record) and (live := _download(record)).until > at:
                found.append(live)
    return found, looked_at


def _with_keys(session: Session, caller: Caller, at: datetime, wanted: _Wanted) -> tuple[list[LiveDownload], int]:
    """Those whose keys the store made, which live longer: a table names them, and how many there are."""
    ids = session.scalars(session_downloads.living(at).limit(LOOKED_AT_ONCE)).all()
    query = select(LogEntry.kind, LogEntry.organization_id, LogEntry.stage, LogEntry.record)
    found: list[LiveDownload] = []
    for start in range(0, len(ids), ASKED_AT_ONCE):
        for row in session.execute(query.where(LogEntry.subject.in_(ids[start : start + ASKED_AT_ONCE]))):
            is_own = caller.is_staff or row.organization_id == caller.organization_id
            is_wanted = is_own and row.kind == EntryKind.DOWNLOAD and wanted.holds(row)
            record = orjson.loads(row.record) if is_wanted and row.record else None
            if record and wanted.matches(record) and (live := _download(record)).until > at:
                found.append(live)
    return found, len(ids)


def _download(record: dict[str, Any]) -> LiveDownload:
    issued_at = issuing.issued_at(record).replace(microsecond=0)
    return LiveDownload(
        id=record["download"],
        organization=record["actor"].get("organization"),
        person=record["actor"].get("person"),
        stage=f"{record['model']}/{record['stage']}",
        urls=0 if "door" in record else len(record["files"]),
        until=issued_at + timedelta(seconds=record["lifetime_seconds"]),
        has_keys="door" in record,
    )
