"""Cuts: whether URLs that were issued before a hold shall die at the store, and what came of it. Carried out above."""

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum

from sqlalchemy import String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.errors import NotPossible
from server.domain.identity.organizations import HELD_AS
from server.storage.database import Base, Key, Moment


class CutState(StrEnum):
    """How far a cut has come."""

    WANTED = "wanted"
    DONE = "done"  # a canary died, and when is measured
    FAILED = "failed"


class CutWay(StrEnum):
    """How the URLs were made to die."""

    POLICY = "policy"  # the bucket refuses what is signed for the held prefix
    KEY = "key"  # the key that signed them was replaced: every URL dies, whatever it is for


class Cut(Base):
    """The wish that the issued URLs of what is on hold die, and what came of it; one for each hold at a time."""

    __tablename__ = "cuts"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    on: Mapped[str] = mapped_column(String(200), index=True)
    asked_by: Mapped[str | None] = mapped_column(String(254))
    asked_at: Mapped[datetime] = mapped_column(Moment)
    state: Mapped[CutState] = mapped_column(String(8))
    way: Mapped[CutWay | None] = mapped_column(String(8))
    milliseconds: Mapped[int | None] = mapped_column(Key)  # until the canary died, at most
    done_at: Mapped[datetime | None] = mapped_column(Moment)
    told: Mapped[str | None] = mapped_column(Text)  # why it failed, the last time
    lifted_at: Mapped[datetime | None] = mapped_column(Moment)  # with its hold; then the bucket's deny goes, too
    due_at: Mapped[datetime | None] = mapped_column(Moment, index=True)  # when the store is asked next
    claimed_until: Mapped[datetime | None] = mapped_column(Moment)  # by the one process that is at it


def want(session: Session, on: str, by: str | None, at: datetime) -> Cut:
    """Ask for a cut of what is on hold. Raises NotPossible where it is done or under way."""
    cut = of(session, on)
    if cut is not None and cut.state != CutState.FAILED:
        been = "are already being" if cut.state == CutState.WANTED else "have already been"
        raise NotPossible(f"The issued URLs of {on} {been} cut.")
    if cut is None:
        cut = Cut(on=on)
        session.add(cut)
    cut.asked_by, cut.asked_at, cut.state, cut.due_at, cut.told = by, at, CutState.WANTED, at, None
    return cut


def of(session: Session, on: str) -> Cut | None:
    """The cut that belongs to the hold on exactly this."""
    return session.scalar(select(Cut).where(Cut.on == on, Cut.lifted_at.is_(None)).with_for_update())


def all_of(session: Session, on: Collection[str]) -> dict[str, Cut]:
    """The same of several, by what they are on; to show."""
    return {cut.on: cut for cut in session.scalars(select(Cut).where(Cut.on.in_(on), Cut.lifted_at.is_(None)))}


def lift(session: Session, on: str, at: datetime) -> None:
    """The hold is lifted: what the store was told is taken back. Safe where nothing was cut."""
    cut = of(session, on)
    if cut is not None:
        cut.lifted_at = at
        cut.due_at = None if cut.way is None or on.startswith(HELD_AS) else at  # else the bucket's policy never changed
