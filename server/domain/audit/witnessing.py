"""Witnessing: outside witnesses are shown each head, and what they cosign is kept. Sealing and issuing never wait.

A witness that follows the log keeps anyone, us too, from showing different logs to different people: a head that it
cosigned continues every head that it cosigned before. Nothing here stops the log, or a witness could.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Boolean, ForeignKey, Integer, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.audit import logs
from server.domain.resources import Resources
from server.log import cosignatures, sealing, tiles, tree, witnesses
from server.log.cosignatures import Cosignature
from server.log.entries import Log
from server.log.notes import VerifierKey
from server.log.sealing import LogHead
from server.log.witnesses import ANSWER_BYTES_AT_MOST, Given, NotCosigned, OtherHistory, OtherSize
from server.storage import bounded_fetch
from server.storage.bounded_fetch import FetchFailed
from server.storage.database import Base, Key, Moment, RowTaken
from server.witnesses import Witness

ASK_EVERY_SECONDS = 2
ANSWER_SECONDS = 10
ASKED_BY_ONE = timedelta(seconds=3 * ANSWER_SECONDS)  # while a worker asks, the others do not
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)  # after a failure; it doubles
AWAY_AFTER = timedelta(minutes=15)  # without a cosignature, though heads are sealed
logger = structlog.get_logger(__name__)


class WitnessView(Base):
    """How far a witness has followed a log, and what it last said. witness: its key's name and id.

    size: of the newest head that it cosigned. contradicts: it has cosigned a history that ours does not continue.
    """

    __tablename__ = "witness_views"
    log_id: Mapped[int] = mapped_column(ForeignKey("logs.id"), primary_key=True)
    witness: Mapped[str] = mapped_column(String(300), primary_key=True)
    size: Mapped[int] = mapped_column(Key, default=0)
    first_asked_at: Mapped[datetime] = mapped_column(Moment)
    cosigned_at: Mapped[datetime | None] = mapped_column(Moment)
    ask_again_at: Mapped[datetime] = mapped_column(Moment)
    failures: Mapped[int] = mapped_column(Integer, default=0)  # in a row
    fault: Mapped[str | None] = mapped_column(String(300))
    contradicts: Mapped[bool] = mapped_column(Boolean, default=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """One witness of the settings, as far as the database knows. away: it has long cosigned nothing."""

    name: str
    size: int
    cosigned_at: datetime | None
    fault: str | None
    contradicts: bool
    away: bool


@dataclass(frozen=True, slots=True)
class _Shown:
    """A head on its way to a witness. old_size: what the witness last cosigned, as far as we know."""

    log_id: int
    size: int
    note: bytes
    old_size: int


def ask(use: Resources, witness: Witness, *, at_once: bool = False) -> None:
    """Have one witness cosign the newest head that it has not yet; what comes of it is kept, whatever it is.

    at_once: whatever it said before. Raises DatabaseUnavailable.
    """
    try:
        shown = _take(use, witness, at_once)
    except RowTaken:  # another worker has just begun with this witness
        return
    if shown is None:
        return
    try:
        given = _cosign(use, witness, shown)
    except OtherHistory as error:
        _failed(use, witness, shown, str(error), contradicts=True)
    except (NotCosigned, FetchFailed) as error:
        _failed(use, witness, shown, str(error), contradicts=False)
    else:
        _cosigned(use, witness, shown, given)


def seen(session: Session, use: Resources, log: Log) -> list[Seen]:
    """Each witness of the settings, in their order, and its view of this log."""
    at = use.clock()
    rows = {row.witness: row for row in session.scalars(select(WitnessView).where(WitnessView.log_id == log.id))}
    return [_seen(witness.name, rows.get(_id(witness)), at) for witness in use.settings.witnesses]


def _seen(name: str, view: WitnessView | None, at: datetime) -> Seen:
    if view is None:
        return Seen(name, 0, None, None, contradicts=False, away=False)
    since = view.cosigned_at or view.first_asked_at
    away = view.fault is not None and at - since > AWAY_AFTER
    return Seen(name, view.size, view.cosigned_at, view.fault, view.contradicts, away)


def _take(use: Resources, witness: Witness, at_once: bool) -> _Shown | None:
    """The head to show now, which other workers then leave to this one; None: there is nothing to ask."""
    with use.database.reading() as session:
        if _next(session, use, witness, at_once) is None:
            return None  # the usual case, which writes nothing
    with use.database.transaction() as session:
        found = _next(session, use, witness, at_once, lock=True)
        if found is None:
            return None
        head, view = found
        at = use.clock()
        if view is None:
            view = WitnessView(log_id=head.log_id, witness=_id(witness), size=0, first_asked_at=at)
            session.add(view)
        view.ask_again_at = at + ASKED_BY_ONE
        return _Shown(head.log_id, head.size, head.note.encode(), min(view.size, head.size))


def _next(
    session: Session, use: Resources, witness: Witness, at_once: bool, *, lock: bool = False
) -> tuple[LogHead, WitnessView | None] | None:
    """The newest head of the log, or of the one before it which it may not have seen the end of, and its view of it."""
    log = logs.current(session)
    for one in (logs.before(session, log), log):
        head = None if one is None or one.stop_reason is not None else sealing.newest_head(session, one.id)
        if head is None or head.size == 0:
            continue
        view = session.get(WitnessView, (head.log_id, _id(witness)), with_for_update=lock or None)
        if view is None and one is not log:
            continue  # of a time when nobody asked this witness
        if view is None or (view.size < head.size and (at_once or view.ask_again_at <= use.clock())):
            return head, view
    return None


def _cosign(use: Resources, witness: Witness, shown: _Shown) -> Given:
    """Ask; and once more from where the witness says that it is. Raises NotCosigned, OtherHistory, FetchFailed."""
    try:
        return _post(use, witness, shown, shown.old_size)
    except OtherSize as other:
        size = other.size
    if size > shown.size:
        _require_known(use, shown, size)
    try:
        return _post(use, witness, shown, size)
    except OtherSize as other:
        if other.size == size == shown.size:  # version 1.0.0 for another head of the same size
            raise OtherHistory(f"it has cosigned another head of {size} entries") from None
        raise NotCosigned("it does not say the same size twice: someone else shows it this log, too") from None


def _require_known(use: Resources, shown: _Shown, size: int) -> None:
    """Raise OtherHistory unless we, too, have this many entries by now; NotCosigned if so."""
    with use.database.reading() as session:
        newest = sealing.newest_head(session, shown.log_id)
    if newest is None or newest.size < size:
        raise OtherHistory(f"it has cosigned {size} entries of this log, which has {newest.size if newest else 0}")
    raise NotCosigned("another worker has shown it a newer head")


def _post(use: Resources, witness: Witness, shown: _Shown, old_size: int) -> Given:
    with use.database.reading() as session:
        read = tiles.hashes(lambda level, index: sealing.read_tile(session, shown.log_id, level, index))
        proof = tree.consistency_proof(old_size, shown.size, read)
    body = witnesses.request(shown.note, old_size, proof)
    url = f"{witness.url}{witnesses.PATH}"
    reply = bounded_fetch.post(url, body, witness.ca_file, bytes_at_most=ANSWER_BYTES_AT_MOST, seconds=ANSWER_SECONDS)
    key = VerifierKey.parse(witness.vkey)
    return witnesses.judge(reply.status, reply.kind, reply.body, shown.note, key, use.clock().timestamp())


def _cosigned(use: Resources, witness: Witness, shown: _Shown, given: Given) -> None:
    at = datetime.fromtimestamp(given.at, UTC)
    row = Cosignature(
        log_id=shown.log_id, size=shown.size, witness=_id(witness), line=given.line, cosigned_at=at
    )  # fmt: skip

    def note(view: WitnessView) -> None:
        view.size, view.cosigned_at, view.ask_again_at = max(view.size, shown.size), use.clock(), use.clock()
        if view.fault is not None:
            logger.info("a witness cosigns again", witness=witness.name, size=shown.size)
        view.fault, view.failures, view.contradicts = None, 0, False

    with use.database.transaction() as session:
        cosignatures.keep(session, row)
        _note(session, witness, shown, note)


def _failed(use: Resources, witness: Witness, shown: _Shown, reason: str, *, contradicts: bool) -> None:
    def note(view: WitnessView) -> None:
        if view.fault != reason:
            logger.warning("a witness did not cosign", witness=witness.name, size=shown.size, reason=reason)
        pause = min(FIRST_PAUSE * 2 ** min(view.failures, 10), LONGEST_PAUSE)
        view.fault, view.failures, view.contradicts = reason, view.failures + 1, contradicts or view.contradicts
        view.ask_again_at = use.clock() + pause

    with use.database.transaction() as session:
        _note(session, witness, shown, note)


def _note(session: Session, witness: Witness, shown: _Shown, change: Callable[[WitnessView], None]) -> None:
    change(session.get_one(WitnessView, (shown.log_id, _id(witness)), with_for_update=True))


def _id(witness: Witness) -> str:
    """The key's name and id: a witness with a new key begins anew."""
    return witness.vkey.rpartition("+")[0]
