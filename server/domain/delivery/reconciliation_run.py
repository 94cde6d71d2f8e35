"""A run of reconciliation: takes reads in batches, raises what should not have been, counts the rest, adds it up."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import String, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.domain import acts
from server.domain.delivery import alarms, decoys, deliveries, seen_reads, statistics, store_readers, suspicions
from server.domain.delivery.alarms import AlarmKind, Suspicion
from server.domain.delivery.deliveries import DeliveryState, Fetched
from server.domain.delivery.read_batches import ReadBatch
from server.domain.delivery.suspicions import Issued
from server.domain.entry_kinds import EntryKind
from server.domain.mail import notices
from server.domain.publish.checkpoints import OBJECT_PREFIX
from server.domain.release import finding_attachments
from server.domain.resources import Resources
from server.log import canonical
from server.storage import canaries, keys, uploads
from server.storage.access_logs import COPY, GET, SUCCESS, Read, Tally
from server.storage.database import Base, Key, Moment

BATCH_LINES = 50_000  # that count or alarm; a transaction writes what they come to
ALARMS_AT_ONCE = 200  # in one transaction
NAMES_AT_MOST, EXAMPLES_AT_MOST = 20, 20
OBJECTS_AT_ONCE = 2000  # remembered in one transaction
OBJECTS_REMEMBERED = timedelta(days=400)
_GUARDED = (OBJECT_PREFIX, finding_attachments.PREFIX, uploads.PREFIX)  # what nobody reads without an entry


class ReconciliationLock(Base):
    """The one row that whoever counts lines holds: two at once would count the same line twice."""

    __tablename__ = "reconciliation_lock"
    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)


class ReadObject(Base):
    """A log in a bucket that was read to its end. Such objects never change, so it need not be fetched again."""

    __tablename__ = "read_objects"
    name: Mapped[str] = mapped_column(String(1200), primary_key=True)
    read_at: Mapped[datetime] = mapped_column(Moment)


@dataclass
class Summary:
    """What a run found. Every line is one of: matched, unmatched, own, other, duplicate, late, unreadable."""

    sources: list[str] = field(default_factory=list)
    logs: int = 0
    logs_known: int = 0  # in buckets, read to their end before, and not fetched again
    lines: int = 0
    matched: int = 0  # new reads of a file under its download, or of an attachment under its opening
    unmatched: int = 0  # new reads that no entry allows
    own: int = 0  # with the publisher's key; of attachments also with the one that checks them
    other: int = 0  # refused, about other objects, or no reads
    duplicates: int = 0
    late: int = 0  # too old to be counted; looked at for alarms all the same
    unreadable: int = 0
    bytes_sent: int = 0  # of what matched
    alarms: Counter[str] = field(default_factory=Counter)  # new ones, by kind
    examples: list[str] = field(default_factory=list)  # of unreadable lines, redacted
    problems: list[str] = field(default_factory=list)  # logs that could not be read to their end

    def as_record(self) -> dict[str, Any]:
        """What the log keeps of a run."""
        return {
            # A file's name may hold bytes that are no text.
            "sources": [name[:200].encode("utf-8", "replace").decode() for name in self.sources[:NAMES_AT_MOST]],
            **{name: min(getattr(self, name), canonical.BIGGEST_INTEGER) for name in _COUNTS},
            "alarms": {str(kind): count for kind, count in self.alarms.items()},
            "problems": len(self.problems),
        }

    def add(self, counts: Mapping[str, Any]) -> None:
        """Add what an earlier run's record says."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + counts[name])
        self.alarms.update(counts["alarms"])


_COUNTS = (
    "logs", "lines", "matched", "unmatched", "own", "other", "duplicates", "late", "unreadable", "bytes_sent",
)  # fmt: skip


def record(session: Session, summary: Summary, at: datetime) -> None:
    """Append what a run found to the log, and forget what is not asked for any more."""
    seen_reads.forget(session, dates.milliseconds(at))
    session.execute(delete(ReadObject).where(ReadObject.read_at < at - OBJECTS_REMEMBERED))
    acts.append(session, EntryKind.RECONCILIATION, at, summary.as_record())


class Run:
    """One reconciliation: takes reads, and brings them to the database in batches."""

    def __init__(self, use: Resources, own: Collection[str] | None) -> None:
        self._use = use
        self._own = _identity(use.settings.publisher_key_file) if own is None else frozenset(own)
        self._checking = frozenset() if own is not None else _identity(use.settings.findings_key_file)
        self._bucket = use.settings.s3_bucket
        self._sessions = store_readers.StoreReaders(use.settings)
        self._batch, self._suspicions, self._finished = ReadBatch(), dict[str, Suspicion](), list[str]()
        self.summary = Summary()
        with use.database.reading() as session:
            self._decoys = decoys.watched(session)

    def take(self, reads: list[Read]) -> None:
        summary, batch, watched = self.summary, self._batch, self._decoys
        own, checking = self._own, self._own | self._checking
        for read in reads:
            key, bucket = read.object_key, read.bucket
            elsewhere = bucket is not None and bucket != self._bucket
            if not key.startswith(_GUARDED) or canaries.is_probe(key) or elsewhere:
                summary.other += 1
                continue
            if read.download_id is None and (session_of := self._sessions.download_of(read.by)) is not None:
                read = read._replace(download_id=session_of)  # as if it were signed into a URL
            is_own = read.download_id is None and read.by in (own if key.startswith(OBJECT_PREFIX) else checking)
            if key in watched and not is_own:
                self._suspect(suspicions.of_decoy(read))
            if read.status not in SUCCESS or read.method not in (GET, COPY):
                summary.other += 1
            elif is_own:
                summary.own += 1
            else:
                batch.add(read)
        if len(batch) >= BATCH_LINES or len(self._suspicions) >= BATCH_LINES:
            self.flush()

    def add(self, tally: Tally) -> None:
        """Count the lines of a log that was read, and those among them that could not be."""
        summary = self.summary
        summary.logs += 1
        summary.lines += tally.lines
        summary.unreadable += tally.unreadable
        summary.other += tally.about_nothing
        summary.examples += tally.examples[: EXAMPLES_AT_MOST - len(summary.examples)]

    def finish(self, name: str | None) -> None:
        """A log was taken to its end; with a name it is not fetched again once its lines are counted."""
        if name is not None:
            self._finished.append(name)
        if len(self._finished) >= OBJECTS_AT_ONCE:  # S3 writes many small ones
            self.flush()

    def known_objects(self, names: Sequence[str]) -> set[str]:
        """Return those among the names of objects that were read to their end before."""
        known: set[str] = set()
        with self._use.database.reading() as session:
            for some in deliveries.in_parts(names):
                known.update(session.scalars(select(ReadObject.name).where(ReadObject.name.in_(some))))
        self.summary.logs_known += len(known)
        return known

    def flush(self, also: Callable[[Session, datetime], None] = lambda *_: None) -> None:
        """Raise the alarms of what was taken, then count it; `also` is done in the same transaction as the counting."""
        batch, finished = self._batch, self._finished
        issued: dict[str, Issued] = {}
        if len(batch):
            with self._use.database.reading() as session:
                issued = suspicions.issued(session, batch.wanted())
            for read, times_ms in zip(batch.firsts, batch.times_ms(), strict=True):
                if read.object_key in self._decoys:  # its alarm says more than that of a ghost read
                    continue
                for suspicion in suspicions.of_group(read, times_ms, issued.get(read.download_id or "")):
                    self._suspect(suspicion)
        self._raise(list(self._suspicions.values()))
        with self._locked() as (session, at):
            if len(batch):
                self._count(session, batch, issued, at)
            for names in deliveries.in_parts(dict.fromkeys(finished)):
                session.execute(delete(ReadObject).where(ReadObject.name.in_(names)))
                session.execute(insert(ReadObject), [{"name": name, "read_at": at} for name in names])
            also(session, at)
        self._batch, self._suspicions, self._finished = ReadBatch(), {}, []

    def close(self) -> None:
        """Count what is left, and record the run."""
        self.flush()
        with self._locked() as (session, at):
            record(session, self.summary, at)

    def _suspect(self, suspicion: Suspicion) -> None:
        self._suspicions.setdefault(suspicion.cause_sha256, suspicion)

    def _raise(self, suspected: list[Suspicion]) -> None:
        for start in range(0, len(suspected), ALARMS_AT_ONCE):
            with self._locked() as (session, at):
                new = self._tell(session, suspected[start : start + ALARMS_AT_ONCE], at)
            self.summary.alarms.update(new)

    def _tell(self, session: Session, suspected: list[Suspicion], at: datetime) -> list[AlarmKind]:
        """Raise what is new, and queue the mails of it."""
        new = alarms.raise_new(session, suspected, at)
        notices.alarms_raised(session, self._use, (alarms.SENTENCES[kind] for kind in new), at)
        return new

    def _count(self, session: Session, batch: ReadBatch, issued: dict[str, Issued], at: datetime) -> None:
        summary, at_ms = self.summary, batch.at_ms
        recent = np.flatnonzero(at_ms >= seen_reads.oldest_counted_ms(dates.milliseconds(at)))
        new = np.zeros(len(batch), dtype=np.bool_)
        new[recent] = seen_reads.take(session, at_ms[recent], batch.digests()[recent])
        summary.late += len(batch) - len(recent)
        summary.duplicates += len(recent) - int(new.sum())
        before = deliveries.stored(session, issued)
        changed: dict[tuple[str, str], Fetched] = {}
        over: list[Suspicion] = []
        by_day: Counter[statistics.Counted] = Counter()
        for read, requests, bytes_sent, first_ms, last_ms in batch.counted(new):
            found = issued.get(read.download_id or "")
            file = None if found is None else found.files.get(read.object_key)
            if found is None or file is None:
                summary.unmatched += requests
                continue
            key = (found.id, file[0])
            fetched = changed[key] = changed.get(key) or before.get(key) or Fetched(*file)
            fetched.add(requests, bytes_sent, first_ms, last_ms, read.address)
            summary.matched += requests
            summary.bytes_sent += bytes_sent
            if found.is_download:  # statistics are of weights
                by_day[_day(first_ms), found.organization_id, found.stage] += bytes_sent
            # With a key a file may be read as often as its program likes: each request was decided.
            if fetched.state is DeliveryState.OVER and "door" not in found.record:
                over.append(suspicions.of_amount(found, read, *file, fetched.bytes_sent, last_ms))
        deliveries.store(session, changed, changed.keys() - before.keys())
        statistics.add_fetched(session, by_day)
        summary.alarms.update(self._tell(session, over, at))

    @contextmanager
    def _locked(self) -> Iterator[tuple[Session, datetime]]:
        with self._use.database.transaction() as session:
            session.execute(select(ReconciliationLock.id).with_for_update()).scalar_one()
            yield session, self._use.clock()


def _identity(key_file: Path | None) -> frozenset[str]:
    """Whose reads need no entry. A process that may not open the key raises more alarms, never fewer."""
    try:
        return frozenset() if key_file is None else frozenset({keys.read_s3_credentials(key_file).access_key_id})
    except keys.KeyFileError:
        return frozenset()


def _day(at_ms: int) -> date:
    return statistics.day_of(dates.of_milliseconds(at_ms))
