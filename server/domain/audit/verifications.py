"""Verifications: all logs and the live tables, asked for on a page or once a day, done by the worker.

It says how far it has come.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import ForeignKey, String, Text, func, select, update
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain.audit import verifying
from server.domain.audit.verifying import Verified
from server.domain.callers import Caller
from server.domain.errors import NotPermitted, NotPossible
from server.domain.identity.people import Person
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.entries import Log
from server.storage.database import Base, Key, Moment, RowTaken
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError

LOOK_EVERY_SECONDS = 1  # how soon a worker notices that one was asked for
TELL_EVERY = timedelta(seconds=1)
SILENT_FOR = timedelta(minutes=2)  # longer than what is verified between two words of it: its worker has died
ATTEMPTS_AT_MOST = 3
FAULTS_SHOWN = 100
DAILY = timedelta(days=1)


class Verification(Base):
    """One run over all logs. `slot` is 1 until it has ended: so there is one at a time, whoever asks at once."""

    __tablename__ = "verifications"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    asked_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))  # None: it is the daily one
    asked_at: Mapped[datetime] = mapped_column(Moment)
    slot: Mapped[int | None] = mapped_column(unique=True, default=1)
    began_at: Mapped[datetime | None] = mapped_column(Moment)
    told_at: Mapped[datetime | None] = mapped_column(Moment)  # when its worker last said something
    attempts: Mapped[int] = mapped_column(default=0)  # workers that took it up
    phase: Mapped[str | None] = mapped_column(String(100))  # what is verified now
    entries: Mapped[int | None] = mapped_column(Key)  # in this phase
    entries_done: Mapped[int] = mapped_column(Key, default=0)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    found: Mapped[str | None] = mapped_column(Text)  # JSON: logs, faults, fault_count, notes, unread, broken
    asker: Mapped[Person | None] = relationship()

    @property
    def result(self) -> dict[str, Any]:
        """What was found; empty until it has ended."""
        return orjson.loads(self.found) if self.found else {}

    @property
    def state(self) -> str:
        """One word: waiting, running, sound, faulty or broken (it could not be brought to an end)."""
        if self.ended_at is None:
            return "waiting" if self.began_at is None else "running"
        if self.result.get("broken"):
            return "broken"
        return "faulty" if self.result.get("fault_count") else "sound"


def request(use: Resources, caller: Caller) -> Verification:
    """Ask for all logs to be verified. One at a time: there is nothing that a second one at once would find."""
    caller.require(Permission.LOG_AUDIT)
    if caller.person_id is None:
        raise NotPermitted("Only a person can request this.")
    try:
        with use.database.transaction() as session:
            asked = Verification(asked_by=caller.person_id, asked_at=use.clock(), slot=1, attempts=0, entries_done=0)
            session.add(asked)
            session.flush()
            return asked
    except RowTaken:
        raise NotPossible(
            "A verification is already waiting or running.",
            next_step="Wait for it to finish. This page shows its progress.",
        ) from None


def request_daily(use: Resources) -> bool:
    """The worker's: ask for one when the last was asked for a day ago; returns whether it did."""
    with use.database.reading() as session:
        last = session.scalar(select(func.max(Verification.asked_at)))
        opened = session.scalar(
            select(func.min(Log.created_at))
        )  # in an instance's first hours there is nothing to find
    at = use.clock()
    if opened is None or at - max(opened, last or opened) < DAILY:
        return False
    try:
        with use.database.transaction() as session:
            session.add(Verification(asked_at=at, slot=1, attempts=0, entries_done=0))
    except RowTaken:  # by another worker, or by somebody who asks just now
        return False
    return True


def listed(session: Session, caller: Caller, part: Slice) -> Page[Verification]:
    """All that were asked for, newest first."""
    caller.require(Permission.LOG_AUDIT)
    query = select(Verification).options(joinedload(Verification.asker))
    return page(session, query, Verification.id, part, newest_first=True)


def run_waiting(use: Resources, is_stopping: Callable[[], bool] = lambda: False) -> str | None:
    """The worker's: do what was asked for, if anything; returns the state it ended in.

    One that was left by a worker that died is taken up again; after three such it counts as broken.
    """
    taken = _take(use)
    if taken is None:
        return None
    teller = _Teller(use, taken, is_stopping)
    try:
        found: dict[str, Any] = _told(verifying.verify(use, teller.tell, tables=True))
    except _Stopping:
        _write(use, taken, told_at=None, attempts=Verification.attempts - 1)  # the next worker begins at once
        return None
    except (ObjectStoreError, KeyFileError) as error:
        found = {"broken": f"The anchors could not be read: {error}."[:500]}
    return _end(use, taken, found)


class _Stopping(Exception):
    """The worker is asked to end."""


class _Teller:
    """Writes down how far a run has come, at most every second."""

    def __init__(self, use: Resources, verification_id: int, is_stopping: Callable[[], bool]) -> None:
        self._use, self._id, self._is_stopping = use, verification_id, is_stopping
        self._last: tuple[str, datetime] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        if self._is_stopping():
            raise _Stopping
        at = self._use.clock()
        if self._last is not None and at - self._last[1] < TELL_EVERY:
            return
        self._last = phase, at
        _write(self._use, self._id, told_at=at, phase=phase[:100], entries=total, entries_done=done)


def _take(use: Resources) -> int | None:
    with use.database.reading() as session:  # asked each second: most often there is nothing, and nothing is written
        if session.scalar(select(Verification.id).where(Verification.slot == 1)) is None:
            return None
    with use.database.transaction() as session:
        run = session.scalar(select(Verification).where(Verification.slot == 1).with_for_update())
        at = use.clock()
        if run is None or (run.told_at is not None and at - run.told_at < SILENT_FOR):
            return None
        if run.attempts >= ATTEMPTS_AT_MOST:
            broken = {"broken": f"{ATTEMPTS_AT_MOST} workers started it, and none finished."}
            run.found, run.ended_at, run.slot = orjson.dumps(broken).decode(), at, None
            return None
        run.began_at, run.told_at, run.attempts = run.began_at or at, at, run.attempts + 1
        return run.id


def _end(use: Resources, verification_id: int, found: dict[str, Any]) -> str:
    with use.database.transaction() as session:
        run = session.get_one(Verification, verification_id, with_for_update=True)
        if run.slot is None:  # another worker, who took this one for dead, came to the end first
            return run.state
        run.found, run.ended_at, run.slot = orjson.dumps(found).decode(), use.clock(), None
        return run.state


def _write(use: Resources, verification_id: int, **values: Any) -> None:
    written = update(Verification).where(Verification.id == verification_id).values(values)
    with use.database.transaction() as session:
        session.execute(written.execution_options(synchronize_session=False))


def _told(results: list[Verified]) -> dict[str, Any]:
    """What was found, for the page. The faults of a log that was abandoned are known: they are told, and count none."""
    faults = [(result, fault.row, fault.sentence) for result in results for fault in result.faults]
    faults += [(result, "anchors", result.behind) for result in results if result.behind is not None]
    return {
        "logs": [{"origin": one.origin, "size": one.size, "abandoned": one.abandoned} for one in results],
        "notes": [note for result in results for note in result.notes][:FAULTS_SHOWN],
        "unread": sum(result.unread for result in results),
        "fault_count": sum(not result.abandoned for result, _, _ in faults),
        "faults": [
            {"log": result.origin, "row": row, "sentence": sentence, "known": result.abandoned}
            for result, row, sentence in faults[:FAULTS_SHOWN]
        ],
    }
