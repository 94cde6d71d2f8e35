"""Dates and moments as text, always in UTC: for people in words, for programs in RFC 3339."""

from datetime import UTC, date, datetime, timedelta


def rfc3339(at: datetime) -> str:
    """`2019-08-20T14:03:05Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(at: date) -> str:
    """`20 August 2019`; of a moment its day."""
    return f"{at.astimezone(UTC) if isinstance(at, datetime) else at:%-d %B %Y}"


def last_day(at: datetime) -> str:
    """`20 August 2019`: the last day on which something still holds that ends at this moment."""
    return day(at - timedelta(microseconds=1))


def minute(at: datetime) -> str:
    """`20 August 2019, 14:03 UTC`."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M UTC}"


def second(at: datetime) -> str:
    """`20 August 2019, 14:03:05 UTC`."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M:%S UTC}"
