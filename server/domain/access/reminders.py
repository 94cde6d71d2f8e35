"""Reminders: what is told a number of days before an end, each once, however many workers there are."""

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from sqlalchemy import String, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.storage.database import Base, Key, Moment


class About(StrEnum):
    """What a reminder is of; `subject_id` says which one."""

    CLEARANCE = "clearance"
    SIGNATURE = "signature"  # which ends with the time to sign again
    WEEK = "week"  # the lab's list; its id is 202649 for week 49 of 2026


class Reminder(Base):
    """One that was sent: of what, and how many days before its end it was due."""

    __tablename__ = "reminders"
    about: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    days: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sent_at: Mapped[datetime] = mapped_column(Moment)


def last_day(ends_at: datetime) -> date:
    """The last day, in UTC, on which something still holds that ends at this moment."""
    return (ends_at.astimezone(UTC) - timedelta(microseconds=1)).date()


def days_left(ends_at: datetime, at: datetime) -> int:
    """How many days of the calendar, in UTC, lie between today and the last day: on that day 0."""
    return (last_day(ends_at) - at.astimezone(UTC).date()).days


def due(ends_at: datetime, days: Iterable[int], *, since: datetime, at: datetime) -> int | None:
    """The reminder whose moment came last, by its number of days; None while none has come, and once all is over.

    Whoever was away over two of them sends the nearer one alone. since: when it began; what would have been before that
    is never due.
    """
    if at >= ends_at:
        return None
    return min((one for one in days if since < _moment(ends_at, one) <= at), default=None)


def claim(session: Session, about: About, subject_id: int, days: int, at: datetime) -> bool:
    """Whether it is this transaction's to send. Of two workers the second waits here, and is told no.

    Neither is one sent after a nearer one.
    """
    known = select(Reminder.days).where(Reminder.about == about, Reminder.subject_id == subject_id)
    if session.scalar(known.where(Reminder.days <= days).limit(1)) is not None:
        return False
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    row = {"about": about, "subject_id": subject_id, "days": days, "sent_at": at}
    added = insert(Reminder).values(row).on_conflict_do_nothing().returning(Reminder.days)
    return session.scalar(added) is not None


def nearest(session: Session, about: About, subject_ids: Collection[int]) -> dict[int, int]:
    """Of each of these that any reminder was sent of: the fewest days that one was due before its end."""
    if not subject_ids:
        return {}
    mine = Reminder.about == about, Reminder.subject_id.in_(subject_ids)
    query = select(Reminder.subject_id, func.min(Reminder.days)).where(*mine).group_by(Reminder.subject_id)
    return dict(session.execute(query).all())


def _moment(ends_at: datetime, days: int) -> datetime:
    """The beginning of the day, in UTC, that is so many days before the last one."""
    return datetime.combine(last_day(ends_at) - timedelta(days=days), time(), UTC)
