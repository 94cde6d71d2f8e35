"""Exposure: who could have taken a stage in a window of time, and who did, computed from the log alone.

The acts in the log are replayed (`audit.Replay`); between two of them only time passes, which begins and ends
clearances. What is said is what `access` would have answered, but for quotas and rates: those only slow down. Clocks of
several machines differ by up to a minute, and so do the edges.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.audit import columns, log_entries, replay
from server.domain.audit.judging.world import Record
from server.domain.audit.log_entries import EntryFilter
from server.domain.audit.replay import Replay
from server.domain.callers import Caller
from server.domain.delivery import deliveries
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest
from server.domain.identity.organizations import Organization
from server.domain.paging import Slice
from server.domain.permissions import POLICY, Permission
from server.domain.release import stages
from server.domain.release.holds import EVERYTHING
from server.domain.release.stages import Model, Stage, StageState
from server.log.archived import is_archived
from server.log.entries import LogEntry
from server.storage.database import AnyRow

WINDOW_AT_MOST = timedelta(days=366)
TAKEN_AT_MOST = 5000  # downloads added up; where there are more, the page says so
_KINDS = sorted({*replay.JUDGING, EntryKind.CHECKPOINT_PUBLISH})
_MAY_DOWNLOAD = POLICY[Permission.DOWNLOAD_CREATE].roles


@dataclass(slots=True)
class Span:
    """A time without a gap: from a moment, until another, which is no longer in it."""

    since: datetime
    until: datetime


@dataclass(slots=True)
class Authority(Span):
    """What it rested on meanwhile."""

    clearance: int
    tier: str
    signature: int | None
    agreement_sha256: str | None


@dataclass(slots=True)
class PersonExposure:
    """When one of its people could."""

    email: str
    role: str
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class OrganizationExposure:
    """When an organization could, under what, and who of it."""

    slug: str
    authorities: list[Authority] = field(default_factory=list)
    people: dict[str, PersonExposure] = field(default_factory=dict)


@dataclass(slots=True)
class Taken:
    """What one person, or nobody that is known, was issued in the window; fetched: as far as it is known.

    archived: of the downloads, those whose bytes are not among those issued.
    """

    organization: str | None
    person: str | None
    downloads: int = 0
    issued_bytes: int = 0
    fetched_bytes: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    archived: int = 0


@dataclass(slots=True)
class Exposure:
    """The answer. anyone: when the stage was public, and took no clearance. cut: more was taken than is told.

    archived: downloads whose bytes are not among those issued, because their records were archived.
    """

    stage: str
    since: datetime
    until: datetime
    anyone: list[Span] = field(default_factory=list)
    organizations: list[OrganizationExposure] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    cut: bool = False
    archived: int = 0


def exposure(
    session: Session, caller: Caller, second_person_tier: str, stage: str, since: datetime, until: datetime
) -> Exposure:
    """Raises NotFound for a stage that there is not, InvalidRequest for a window that is none."""
    caller.require(Permission.LOG_AUDIT)
    if not timedelta(0) < until - since <= WINDOW_AT_MOST:
        raise InvalidRequest(f"The end must be after the start, by at most {WINDOW_AT_MOST.days} days.")
    found = Exposure(stages.get(session, stage).full_name, since, until)
    history = _History(found, Replay(second_person_tier))
    for at, row, record in _acts(session, until):
        history.take(at, row, record)
    history.pass_time(until)
    found.organizations = sorted(history.organizations.values(), key=lambda one: one.slug)
    found.taken, found.cut = _taken(session, caller, found)
    return found


def stage_names(session: Session, caller: Caller) -> list[str]:
    """Every stage that can be asked about."""
    caller.require(Permission.LOG_AUDIT)
    query = select(Model.name, Stage.name).join(Stage, Stage.model_id == Model.id).order_by(Model.name, Stage.ordinal)
    return [f"{model}/{name}" for model, name in session.execute(query)]


def _acts(session: Session, until: datetime) -> Iterator[tuple[datetime, AnyRow, Record]]:
    """Every act of before a moment that decides who may download, in the order of the log."""
    wanted = select(
        LogEntry.id, LogEntry.log_id, LogEntry.leaf_index, LogEntry.organization_id, LogEntry.subject, LogEntry.record
    )
    rows = session.execute(wanted.where(LogEntry.kind.in_(_KINDS))).all()
    rows = sorted(rows, key=lambda row: (row.log_id, row.leaf_index is None, row.leaf_index or 0, row.id))
    last = datetime.min.replace(tzinfo=UTC)
    for row in rows:
        if not row.record:  # erased
            continue
        try:
            record = orjson.loads(row.record)
            last = max(last, dates.of_milliseconds(record["time"]))  # a clock that was behind does not turn time back
        except (ValueError, KeyError, TypeError):  # `log verify` names it
            continue
        if last >= until:
            return
        yield last, row, record


class _History:
    """The world as the log tells it, and what of it is in the window."""

    def __init__(self, found: Exposure, world: Replay) -> None:
        self._found, self._world, self._reached = found, world, found.since
        self._model = found.stage.partition("/")[0]
        self._is_published = False
        self.organizations: dict[str, OrganizationExposure] = {}

    def take(self, at: datetime, row: AnyRow, record: Record) -> None:
        self.pass_time(at)
        try:
            for _ in self._world.take(columns.completed(self._world, row, record)):  # faults: for `log verify` to say
                pass
            if record["kind"] == EntryKind.CHECKPOINT_PUBLISH:
                self._is_published |= record["stage"] == self._found.stage
        except (KeyError, TypeError, AttributeError):
            return

    def pass_time(self, until: datetime) -> None:
        """Note who could, from where this came until a moment: nothing was done in between."""
        since, self._reached = self._reached, max(self._reached, until)
        if until <= since or not self._is_open():
            return
        if self._world.stages[self._found.stage].state == StageState.PUBLIC:
            _extend(self._found.anyone, Span(since, until))
            return
        for slug in {clearance.organization for clearance in self._world.clearances.values()}:
            for authority in self._authorities(slug, since, until):
                self._note_could(slug, authority)

    def _is_open(self) -> bool:
        """Whether anybody at all could: rows 3 and 4 of the access rule, and that there is something to take."""
        stage = self._world.stages.get(self._found.stage)
        held = self._world.held.keys() & {self._found.stage, self._model, EVERYTHING}
        return stage is not None and stage.state != StageState.WITHDRAWN and not held and self._is_published

    def _authorities(self, slug: str, since: datetime, until: datetime) -> Iterator[Authority]:
        """Rows 2, 3, 5 and 6 for an organization, from a moment until another between which nothing was done."""
        world, stage = self._world, self._world.stages[self._found.stage]
        if world.organizations[slug].suspended or (stage.state == StageState.PLANNED and slug != world.lab):
            return
        signature, sha256 = None, None
        if stage.agreement is not None:
            signature, sha256, until = self._signed(stage.agreement, slug, since, until)
            if signature is None:
                return
        least = world.ranks.get(stage.tier, 0)
        holding = [
            (dates.of_milliseconds(one.expires_at), dates.of_milliseconds(one.starts_at), key, one.tier)
            for key, one in world.clearances.items()
            if (one.organization, one.model) == (slug, self._model) and one.approved and not one.revoked
            and world.ranks.get(one.tier, -1) >= least
        ]  # fmt: skip
        edges = {edge for ends, starts, _, _ in holding for edge in (ends, starts) if since < edge < until}
        steps = [since, *sorted(edges), until]
        for start, end in pairwise(steps):
            lasting = [one for one in holding if one[1] <= start < one[0]]
            if lasting:
                _, _, key, tier = max(lasting)
                yield Authority(start, end, key, tier, signature, sha256)

    def _signed(
        self, agreement: str, slug: str, since: datetime, until: datetime
    ) -> tuple[int | None, str | None, datetime]:
        """The signature that counts from a moment on, of which text, and how long: that of an older version ends."""
        world, current = self._world, self._world.current.get(agreement)
        for key in world.signatures:
            if world.signed(key, slug, current):
                return key, current, until
        previous, end_ms = world.lasting.get(agreement, (None, 0))
        if previous is not None and since < (end := dates.of_milliseconds(end_ms)):
            for key in world.signatures:
                if world.signed(key, slug, previous):
                    return key, previous, min(until, end)
        return None, None, until

    def _note_could(self, slug: str, authority: Authority) -> None:
        known = self.organizations.setdefault(slug, OrganizationExposure(slug))
        _extend(known.authorities, authority)
        for email, one in self._world.people.items():
            if one.organization == slug and not one.disabled and one.role in _MAY_DOWNLOAD:
                person = known.people.setdefault(email, PersonExposure(email, one.role))
                person.role = one.role
                _extend(person.spans, Span(authority.since, authority.until))


def _extend(spans: list[Any], span: Span) -> None:
    """Add a span; one that goes on from the last on the same authority makes that one longer."""
    if spans and spans[-1].until == span.since and _rests_on(spans[-1]) == _rests_on(span):
        spans[-1].until = span.until
    else:
        spans.append(span)


def _rests_on(span: Span) -> tuple[Any, ...]:
    return (span.clearance, span.signature) if isinstance(span, Authority) else ()


def _taken(session: Session, caller: Caller, found: Exposure) -> tuple[list[Taken], bool]:
    """The downloads of the window, newest first, added up by who asked; and whether there were too many to add up."""
    wanted = EntryFilter(stage=found.stage, kind=EntryKind.DOWNLOAD, since=found.since, until=found.until)
    taken: dict[tuple[str | None, str | None], Taken] = {}
    count, after = 0, None
    slugs = dict(session.execute(select(Organization.id, Organization.slug)).all())
    while count < TAKEN_AT_MOST:
        page = log_entries.visible(session, caller, wanted, Slice(200, after))
        records = [record for entry in page.items if (record := _record_of(entry, slugs)) is not None]
        found.archived += sum(map(is_archived, page.items))
        sent = deliveries.fetched_bytes(session, [record["download"] for record in records])
        for record in records:
            _add(taken, record, sent.get(record["download"], 0))
        count, after = count + len(page.items), page.next_after
        session.expunge_all()  # their records are large
        if after is None:
            break
    return sorted(taken.values(), key=lambda one: (-one.issued_bytes, str(one.person))), after is not None


def _record_of(entry: LogEntry, slugs: Mapping[int, str]) -> Record | None:
    """What a download's record says; of an archived one, what its row says as well. None: erased."""
    if is_archived(entry):
        return issuing.archived(entry, slugs)
    loaded: Record | None = orjson.loads(entry.record) if entry.record else None
    return loaded


def _add(taken: dict[tuple[str | None, str | None], Taken], record: Record, sent: int) -> None:
    actor, at = record["actor"], issuing.issued_at(record)
    key = actor.get("organization"), actor.get("person")
    one = taken.setdefault(key, Taken(*key, last_at=at))
    one.downloads += 1
    one.archived += "archived" in record
    one.issued_bytes += sum(file["size_bytes"] for file in record.get("files", ()))
    one.fetched_bytes += sent
    one.first_at = at
