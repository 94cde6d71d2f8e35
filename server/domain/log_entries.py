"""Log entries, for those entitled: a partner's people see what concerns their organization, staff see all."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from server.domain import organizations
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.paging import Page, Slice, page
from server.log.entries import LogEntry

CLOCKS_DIFFER_BY = timedelta(seconds=60)  # at most, between machines; `log verify` finds more


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries; None: whatever it is. since: included; until: not."""

    organization: str | None = None
    person: str | None = None
    stage: str | None = None
    kind: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def visible(session: Session, caller: Caller, wanted: Wanted, part: Slice) -> Page[LogEntry]:
    """Entries, newest first. Raises NotFound for an organization that the caller may not know of.

    Every filter has an index that ends in the id, so a page costs the same in an old log as in a new one.
    """
    query = select(LogEntry)
    if wanted.organization is not None:
        if not caller.is_staff and wanted.organization != caller.organization:
            raise NotFound(f"There is no organization {wanted.organization}.")
        query = query.where(LogEntry.organization_id == organizations.get(session, wanted.organization).id)
    elif not caller.is_staff:
        query = query.where(LogEntry.organization_id == caller.organization_id)
    for column, value in (
        (LogEntry.person, wanted.person),
        (LogEntry.stage, wanted.stage),
        (LogEntry.kind, wanted.kind),
        (LogEntry.code, wanted.code),
    ):
        if value is not None:
            query = query.where(column == value)
    query = _within(session, query, wanted.since, wanted.until)
    return page(session, query, LogEntry.id, part, newest_first=True)


def _within(
    session: Session, query: Select[LogEntry], since: datetime | None, until: datetime | None
) -> Select[LogEntry]:
    """Limit to a time, and the ids to what can be of that time: otherwise a page of long ago would read all since."""
    if since is not None:
        query = query.where(LogEntry.appended_at >= since)
        if (before := _last_id_before(session, since - CLOCKS_DIFFER_BY)) is not None:
            query = query.where(LogEntry.id > before)
    if until is not None:
        query = query.where(LogEntry.appended_at < until)
        if (after := _first_id_from(session, until + CLOCKS_DIFFER_BY)) is not None:
            query = query.where(LogEntry.id < after)
    return query


def _last_id_before(session: Session, at: datetime) -> int | None:
    """An entry from before a moment: what was appended before it is not from a minute after that moment."""
    newest_first = LogEntry.appended_at.desc(), LogEntry.id.desc()
    return session.scalar(select(LogEntry.id).where(LogEntry.appended_at < at).order_by(*newest_first).limit(1))


def _first_id_from(session: Session, at: datetime) -> int | None:
    """An entry from a moment on: what was appended after it is not from a minute before that moment."""
    oldest_first = LogEntry.appended_at, LogEntry.id
    return session.scalar(select(LogEntry.id).where(LogEntry.appended_at >= at).order_by(*oldest_first).limit(1))
