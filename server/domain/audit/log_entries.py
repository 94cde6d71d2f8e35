"""Log entries, for those entitled: a partner's people see what concerns their organization, staff see all."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound
from server.domain.identity import organizations
from server.domain.identity.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.log import proofs, published, tree
from server.log.archived import ArchivedMonths
from server.log.entries import CLOCKS_DIFFER_BY, IS_ACT, Log, LogEntry, commitment_of
from server.log.notes import NotAKey, VerifierKey
from server.log.published import NotPublished

STAGES_AT_MOST = 10_000  # that a name is held against
ABOUT_AT_MOST = 200  # entries about one thing
KEY_AT_MOST = 2**63 - 1  # what a database can be asked for


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; None: whatever it is. since: included; until: not.

    heartbeats: those too, of which one is made each minute; a filter that names anything leaves them out by itself.
    """

    organization: str | None = None
    person: str | None = None
    stage: str | None = None
    kind: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    heartbeats: bool = True

    @property
    def names_nothing(self) -> bool:
        return (self.organization, self.person, self.stage, self.kind, self.code) == (None,) * 5


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found when an entry was held against its log just now. Sizes count entries.

    matches: salt and record give the commitment; None: the record was erased or archived. proof: the file that proves
    its place; None while it is not sealed. fault: why the proof does not prove it, which must not be.
    """

    log: Log
    leaf: bytes
    matches: bool | None
    proof: bytes | None = None
    head_size: int | None = None
    fault: str | None = None

    @property
    def is_proven(self) -> bool:
        return self.matches is not False and self.proof is not None and self.fault is None


def get(session: Session, caller: Caller, entry_id: int) -> LogEntry:
    """One entry by its id. Raises NotFound, also for another organization's."""
    return _one(session, caller, select(LogEntry).where(LogEntry.id == min(entry_id, KEY_AT_MOST)))


def at_place(session: Session, caller: Caller, log: str, index: int) -> LogEntry:
    """One entry by its place in a log's tree. Raises NotFound, also for another organization's."""
    # What is no name is the name of no log; PostgreSQL would not even be asked about a NUL.
    named = Log.name == (log if log.isprintable() else "")
    query = select(LogEntry).join(Log, Log.id == LogEntry.log_id).where(named)
    return _one(session, caller, query.where(LogEntry.leaf_index == min(index, KEY_AT_MOST)))


def about(session: Session, caller: Caller, kinds: Collection[EntryKind], subject: str) -> Sequence[LogEntry]:
    """What the log has about one thing, newest first; of a partner, what concerns its organization. kinds: about it."""
    caller.require(Permission.LOG_READ)
    query = select(LogEntry).where(LogEntry.subject == subject, LogEntry.kind.in_(kinds))
    query = query.where(*caller.within(LogEntry.organization_id))
    return session.scalars(query.order_by(LogEntry.id.desc()).limit(ABOUT_AT_MOST)).all()


def check(session: Session, entry: LogEntry) -> Checked:
    """Hold an entry against its log: commitment, leaf, and its place under the newest signed head."""
    log, leaf = session.get_one(Log, entry.log_id), tree.leaf_hash(entry.commitment)
    is_emptied = not entry.record and (not entry.salt or ArchivedMonths(session).covers(entry.log_id, entry))
    matches = None if is_emptied else commitment_of(entry.salt, entry.record) == entry.commitment
    try:
        proof = published.proof(session, entry)
    except NotPublished:
        return Checked(log, leaf, matches)
    except (ValueError, KeyError) as error:  # a tile that is missing or was changed
        return Checked(log, leaf, matches, fault=str(error) or "a tile of the tree is missing")
    try:
        head = proofs.verify(proof, leaf, VerifierKey.parse(log.vkey))
    except (NotAKey, ValueError) as error:
        return Checked(log, leaf, matches, proof, fault=str(error))
    return Checked(log, leaf, matches, proof, head.size)


def visible(session: Session, caller: Caller, wanted: EntryFilter, part: Slice) -> Page[LogEntry]:
    """Entries, newest first. Raises NotFound for an organization that the caller may not know of.

    Every filter has an index that ends in the id, so a page costs the same in an old log as in a new one.
    """
    return page(session, chosen(session, caller, wanted), LogEntry.id, part, newest_first=True)


def chosen(session: Session, caller: Caller, wanted: EntryFilter) -> Select[LogEntry]:
    """The query of the same, without an order. Raises NotFound."""
    query = select(LogEntry)
    of_organization: ColumnElement[int | None] = LogEntry.organization_id.expression
    if wanted.person is not None:  # whose entries are the fewer: their index is to be used, and no other
        of_organization = LogEntry.organization_id + 0
    if wanted.organization is not None:
        if not caller.is_staff and wanted.organization != caller.organization:
            raise NotFound(f"There is no organization {wanted.organization}.")
        query = query.where(of_organization == organizations.get(session, wanted.organization).id)
    elif not caller.is_staff:
        query = query.where(of_organization == caller.organization_id)
    for column, value in (
        (LogEntry.person, wanted.person),
        (LogEntry.stage, wanted.stage),
        (LogEntry.kind, wanted.kind),
        (LogEntry.code, wanted.code),
    ):
        if value is not None:
            query = query.where(column == value)
    if caller.is_staff and wanted.names_nothing and not wanted.heartbeats:
        query = query.where(IS_ACT)
    return _within(session, query, wanted.since, wanted.until)


def slugs(session: Session, entries: Sequence[LogEntry]) -> dict[int, str]:
    """The organizations that entries concern, by id."""
    wanted = {entry.organization_id for entry in entries} - {None}
    query = select(Organization.id, Organization.slug).where(Organization.id.in_(wanted))
    return dict(session.execute(query).all())


def _one(session: Session, caller: Caller, query: Select[LogEntry]) -> LogEntry:
    caller.require(Permission.LOG_READ)
    if not caller.is_staff:
        query = query.where(LogEntry.organization_id == caller.organization_id)
    entry = session.scalar(query)
    if entry is None:
        raise NotFound(
            "This entry does not exist, or belongs to another organization.", next_step="Choose an entry from the list."
        )
    return entry


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
