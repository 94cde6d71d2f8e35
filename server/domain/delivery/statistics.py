"""Statistics: a few numbers a day, counted once by the worker, so that a chart costs the same however old the log is.

What was issued and how long sealing took is counted from the sealed entries in the tree's order, where none is missed;
what was fetched is added where reconciliation counts it. Days are UTC's.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Date, String, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.access.refusals import Refusal
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest
from server.domain.identity.organizations import Organization
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.entries import Log, LogEntry
from server.log.sealing import LogHead, newest_head
from server.storage.database import Base, Key

COUNT_EVERY_SECONDS = 5
# Whoever is far behind, after a restore or an upgrade, leaves the database and the processors to those who download.
ENTRIES_AT_ONCE = 250
PAUSE_SECONDS = 0.1
DAYS_AT_MOST = 366
Counted = tuple[date, int | None, str]  # day, organization, stage
NOBODY = 0  # in place of an organization: whoever took a public stage without signing in


class TrafficDay(Base):
    """What one organization was issued of one stage on one day, and what was fetched of it on that day."""

    __tablename__ = "traffic_days"
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    organization_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(String(200), primary_key=True)
    downloads: Mapped[int] = mapped_column(Key, default=0)
    issued_bytes: Mapped[int] = mapped_column(Key, default=0)
    fetched_bytes: Mapped[int] = mapped_column(Key, default=0)


class SealingDay(Base):
    """How long the entries of one day waited until a signed head covered them."""

    __tablename__ = "sealing_days"
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    entries: Mapped[int] = mapped_column(Key)
    delay_ms: Mapped[int] = mapped_column(Key)  # of all of them together
    longest_ms: Mapped[int] = mapped_column(Key)


class CountedLog(Base):
    """How far a log was counted: the place of the first entry that was not."""

    __tablename__ = "counted_logs"
    log_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Key)


@dataclass(frozen=True, slots=True)
class Days:
    """From a day to a day, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if not 0 <= (self.last - self.first).days < DAYS_AT_MOST:
            raise InvalidRequest(f"Choose 1 to {DAYS_AT_MOST} days. The first day must not be after the last.")

    def each(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Downloads and bytes; of a day, an organization or a stage."""

    downloads: int
    issued_bytes: int
    fetched_bytes: int


@dataclass(frozen=True, slots=True)
class SealingDelay:
    """Seconds until an entry of a day was sealed."""

    mean_seconds: float
    longest_seconds: float


def traffic_by_day(session: Session, caller: Caller, days: Days) -> dict[date, Traffic]:
    """Of every day, also of those without any."""
    found = dict(_traffic(session, caller, days, TrafficDay.day))
    return {day: found.get(day, Traffic(0, 0, 0)) for day in days.each()}


def traffic_by_organization(session: Session, caller: Caller, days: Days) -> dict[str | None, Traffic]:
    """By slug, the most bytes first; None: without sign-in."""
    found = dict(_traffic(session, caller, days, TrafficDay.organization_id))
    known = select(Organization.id, Organization.slug).where(Organization.id.in_(found))
    slugs = {row.id: row.slug for row in session.execute(known)}
    ordered = sorted(found.items(), key=lambda pair: -pair[1].issued_bytes)
    return {slugs.get(organization_id): traffic for organization_id, traffic in ordered}


def traffic_by_stage(session: Session, caller: Caller, days: Days) -> dict[str, Traffic]:
    """The most bytes first."""
    return dict(sorted(_traffic(session, caller, days, TrafficDay.stage), key=lambda pair: -pair[1].issued_bytes))


def sealing_by_day(session: Session, caller: Caller, days: Days) -> dict[date, SealingDelay | None]:
    """Of every day; None for one on which nothing was sealed."""
    caller.require(Permission.LOG_AUDIT)
    rows = session.scalars(select(SealingDay).where(SealingDay.day.between(days.first, days.last)))
    found = {row.day: SealingDelay(row.delay_ms / row.entries / 1000, row.longest_ms / 1000) for row in rows}
    return {day: found.get(day) for day in days.each()}


def refusals_by_code(session: Session, caller: Caller, days: Days) -> dict[str, int]:
    """How often each code was the answer, the most frequent first."""
    caller.require(Permission.LOG_AUDIT)
    at = Refusal.refused_at
    query = select(Refusal.code, func.count()).where(at >= _start(days.first), at < _start(days.last, 1))
    rows = [(code, count) for code, count in session.execute(query.group_by(Refusal.code))]
    return dict(sorted(rows, key=lambda pair: (-pair[1], pair[0])))


def count(use: Resources, pause: Callable[[float], bool] = lambda _: False) -> int:
    """The worker's: count what was sealed since the last time; returns how many entries.

    pause: between any two batches; gets seconds, and returns whether to leave the rest for another time.
    """
    with use.database.reading() as session:
        log_ids = [log_id for log_id in session.scalars(select(Log.id).order_by(Log.id)) if _waits(session, log_id)]
    counted = 0
    for log_id in log_ids:
        while (some := _count_some(use, log_id)) > 0:
            counted += some
            if some == ENTRIES_AT_ONCE and pause(PAUSE_SECONDS):
                return counted
    return counted


def uncounted(session: Session) -> int:
    """How many sealed entries are in no chart yet."""
    heads = [(log_id, newest_head(session, log_id)) for log_id in session.scalars(select(Log.id))]
    counted = {row.log_id: row.place for row in session.scalars(select(CountedLog))}
    return sum(head.size - counted.get(log_id, 0) for log_id, head in heads if head is not None)


def is_counted_until(session: Session, until: datetime) -> bool:
    """Whether every sealed entry of before a moment is in the charts: what is taken away then is missed nowhere."""
    counted = {row.log_id: row.place for row in session.scalars(select(CountedLog))}
    waiting = select(LogEntry.id).where(LogEntry.appended_at < until, LogEntry.leaf_index.is_not(None)).limit(1)
    return not any(
        session.scalar(waiting.where(LogEntry.log_id == log_id, LogEntry.leaf_index >= counted.get(log_id, 0)))
        for log_id in session.scalars(select(Log.id))
    )


def add_fetched(session: Session, fetched: Mapping[Counted, int]) -> None:
    """Add bytes that left the store, by day, organization and stage."""
    _add(session, {key: Traffic(0, 0, sent) for key, sent in fetched.items()})


def day_of(at: datetime) -> date:
    """The day, in UTC."""
    return at.astimezone(UTC).date()


def _traffic(session: Session, caller: Caller, days: Days, by: Any) -> Iterable[tuple[Any, Traffic]]:
    caller.require(Permission.LOG_AUDIT)
    sums = (func.sum(getattr(TrafficDay, name)) for name in ("downloads", "issued_bytes", "fetched_bytes"))
    query = select(by, *sums).where(TrafficDay.day.between(days.first, days.last)).group_by(by)
    return ((row[0], Traffic(*map(int, row[1:]))) for row in session.execute(query))


def _waits(session: Session, log_id: int) -> bool:
    """Whether there is anything to count: most often not, and then nothing is locked."""
    head, counted = newest_head(session, log_id), session.get(CountedLog, log_id)
    return head is not None and head.size > (counted.place if counted else 0)


def _count_some(use: Resources, log_id: int) -> int:
    """Read first, since what is sealed never changes; SQLite's one writer is kept for what is added alone."""
    with use.database.reading() as session:
        known = session.get(CountedLog, log_id)
        first = known.place if known is not None else 0
        rows = session.execute(
            select(LogEntry.leaf_index, LogEntry.appended_at)
            .where(LogEntry.log_id == log_id, LogEntry.leaf_index >= first)
            .order_by(LogEntry.leaf_index)
            .limit(ENTRIES_AT_ONCE)
        ).all()
        if not rows:
            return 0
        last = rows[-1].leaf_index
        waits, issued = _waits_of(session, log_id, rows), _issued(session, log_id, first, last)
    with use.database.transaction() as session:
        # The log's mark is what two workers would both advance; a first one is made by whoever comes first.
        mark = session.get(CountedLog, log_id, with_for_update=True)
        if mark is None:
            mark = CountedLog(log_id=log_id, place=0)
            session.add(mark)
            session.flush()
        if mark.place != first:
            return 0  # another worker counted these meanwhile
        _add_waits(session, waits)
        _add(session, issued)
        mark.place = last + 1
        return len(rows)


def _waits_of(session: Session, log_id: int, rows: Iterable[Any]) -> Mapping[date, list[int]]:
    """Milliseconds, by day. The head that covers an entry is the first that is larger than its place."""
    waits: defaultdict[date, list[int]] = defaultdict(list)
    head: LogHead | None = None
    for row in rows:
        if head is None or head.size <= row.leaf_index:
            larger = select(LogHead).where(LogHead.log_id == log_id, LogHead.size > row.leaf_index)
            head = session.scalars(larger.order_by(LogHead.size).limit(1)).one()
        waited = (head.sealed_at - row.appended_at) / timedelta(milliseconds=1)
        waits[day_of(row.appended_at)].append(max(0, round(waited)))
    return waits


def _add_waits(session: Session, waits: Mapping[date, list[int]]) -> None:
    for day, delays in waits.items():
        found = session.get(SealingDay, day, with_for_update=True)
        if found is None:
            found = SealingDay(day=day, entries=0, delay_ms=0, longest_ms=0)
            session.add(found)
        found.entries += len(delays)
        found.delay_ms += sum(delays)
        found.longest_ms = max(found.longest_ms, *delays)


def _issued(session: Session, log_id: int, first: int, last: int) -> Mapping[Counted, Traffic]:
    query = select(LogEntry.appended_at, LogEntry.organization_id, LogEntry.stage, LogEntry.record).where(
        LogEntry.log_id == log_id, LogEntry.leaf_index.between(first, last), LogEntry.kind == EntryKind.DOWNLOAD
    )
    issued: defaultdict[Counted, list[int]] = defaultdict(list)
    for row in session.execute(query.execution_options(yield_per=20)):  # a record of a thousand files is large
        size_bytes = sum(file["size_bytes"] for file in orjson.loads(row.record)["files"]) if row.record else 0
        issued[day_of(row.appended_at), row.organization_id, row.stage or ""].append(size_bytes)
    return {key: Traffic(len(sizes), sum(sizes), 0) for key, sizes in issued.items()}


def _add(session: Session, more: Mapping[Counted, Traffic]) -> None:
    """Add to the rows of these days, or make them; two who add to the same ones at once wait for each other."""
    rows = [
        {"day": day, "organization_id": organization_id or NOBODY, "stage": stage, **asdict(traffic)}
        for (day, organization_id, stage), traffic in more.items()
    ]
    if not rows:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    added: Any = insert(TrafficDay.__table__)  # type: ignore[arg-type]
    table = TrafficDay.__table__.c
    sums = {name: table[name] + added.excluded[name] for name in ("downloads", "issued_bytes", "fetched_bytes")}
    added = added.on_conflict_do_update(index_elements=["day", "organization_id", "stage"], set_=sums)
    rows.sort(key=lambda row: (row["day"], row["organization_id"], row["stage"]))  # in one order, so that none deadlock
    session.connection().execute(added, rows)


def _start(day: date, plus: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=plus)
