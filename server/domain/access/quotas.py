"""Quotas: how many bytes an organization may be issued in a rolling day, and how many requests a minute."""

import math
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.errors import QuotaExceeded, RateLimited
from server.domain.identity.organizations import Quota
from server.storage.database import Base, Key
from server.storage.statements import Statement

DAY = timedelta(hours=24)
HOUR_SECONDS = 3600


class QuotaHour(Base):
    """Bytes issued to an organization in one hour since 1970; a day is the hours that have not yet passed from it."""

    __tablename__ = "quota_hours"
    organization_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    hour: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    issued_bytes: Mapped[int] = mapped_column(Key)


class _Limits(NamedTuple):
    """What an organization is limited to; None: not limited."""

    bytes_per_day: int | None
    requests_per_minute: int | None


def lock(session: Session, organization_id: int) -> Quota | None:
    """Lock an organization's counters, so that two requests cannot both take the last byte. None: it has no limits."""
    limits = _LIMITS.first(session, organization_id=organization_id)
    if limits is not None and not any(limits):
        return None
    return session.get_one(Quota, organization_id, with_for_update=True, populate_existing=True)


def take(session: Session, quota: Quota, size_bytes: int, at: datetime) -> None:
    """Count a download against its organization, or raise RateLimited or QuotaExceeded."""
    if quota.requests_per_minute is not None:
        _advance_rate(quota, quota.requests_per_minute, at)
    if quota.bytes_per_day is not None:
        _add_bytes(session, quota.organization_id, size_bytes, quota.bytes_per_day, at)


def _advance_rate(quota: Quota, requests_per_minute: int, at: datetime) -> None:
    """Generic cell rate algorithm: a minute's worth may come at once, then one each interval."""
    interval = timedelta(microseconds=60_000_000 // requests_per_minute)  # rounded down: a minute holds them all
    next_free_at = max(quota.next_free_at or at, at) + interval
    if (wait := next_free_at - at - timedelta(minutes=1)) > timedelta(0):
        raise RateLimited(
            f"Your organization can request {requests_per_minute} downloads per minute.",
            retry_after_seconds=math.ceil(wait.total_seconds()),
        )
    quota.next_free_at = next_free_at


def _add_bytes(session: Session, organization_id: int, size_bytes: int, bytes_per_day: int, at: datetime) -> None:
    hour = int(at.timestamp()) // HOUR_SECONDS
    mine = QuotaHour.organization_id == organization_id
    session.execute(delete(QuotaHour).where(mine, QuotaHour.hour <= hour - 25))
    # The hour that began more than 24 h ago still counts until it is over: never too much in any 24 hours.
    used = session.scalar(select(func.sum(QuotaHour.issued_bytes)).where(mine)) or 0
    if used + size_bytes > bytes_per_day:
        raise QuotaExceeded(
            f"Your organization may be issued {bytes_per_day} bytes in 24 hours; {used} are used, {size_bytes} asked.",
            retry_after_seconds=_wait(session, organization_id, used + size_bytes - bytes_per_day, at),
        )
    row = session.get(QuotaHour, (organization_id, hour))
    if row is None:
        session.add(QuotaHour(organization_id=organization_id, hour=hour, issued_bytes=size_bytes))
    else:
        row.issued_bytes += size_bytes


def _wait(session: Session, organization_id: int, excess_bytes: int, at: datetime) -> int:
    """Return the seconds until enough hours have passed out of the day; a whole day when even that is not enough."""
    rows = select(QuotaHour.hour, QuotaHour.issued_bytes).where(QuotaHour.organization_id == organization_id)
    for hour, issued_bytes in session.execute(rows.order_by(QuotaHour.hour)):
        excess_bytes -= issued_bytes
        if excess_bytes <= 0:
            return math.ceil((hour + 25) * HOUR_SECONDS - at.timestamp())
    return int(DAY.total_seconds())


_LIMITS = Statement(
    select(Quota.bytes_per_day, Quota.requests_per_minute).where(Quota.organization_id == bindparam("organization_id")),
    _Limits,
)
