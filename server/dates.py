"""Dates and moments, always in UTC: for people in words, for programs in RFC 3339, for records in milliseconds."""

import re
from datetime import UTC, date, datetime, timedelta

LAST_YEAR = 9000  # of what people choose: a day far beyond it has none after it that a calendar can tell
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def rfc3339(at: datetime) -> str:
    """`2019-08-20T14:03:05Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(at: datetime) -> int:
    """Since 1970, as records and stores' logs tell a moment; what is left of one is cut off."""
    return int(at.timestamp() * 1000)


def of_milliseconds(told: int) -> datetime:
    """The moment that they tell."""
    return datetime.fromtimestamp(told / 1000, UTC)


def chosen(text: str, *, ends: bool) -> datetime:
    """Read a day or a moment that somebody wrote. ends: whether a day stands for its end, or for its beginning.

    Raises ValueError with a sentence for any other form, a moment without a zone, and a year beyond LAST_YEAR.
    """
    form = _MOMENT.fullmatch(text)
    if form is None and not _DAY.fullmatch(text):
        raise ValueError("write 2027-01-31, 2027-01-31T12:00:00Z, or 90d from now")
    if form is not None and form[3] is None:
        raise ValueError("add the time zone: Z for UTC, or an offset such as +02:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such day or time") from None
    return end_of(moment) if ends and form is None else _countable(moment if form else moment.replace(tzinfo=UTC))


def end_of(chosen: date) -> datetime:
    """The first moment after a day, in UTC: what ends on a day still works on it."""
    return _countable(datetime(chosen.year, chosen.month, chosen.day, tzinfo=UTC)) + timedelta(days=1)


def _countable(moment: datetime) -> datetime:
    if moment.year > LAST_YEAR:
        raise ValueError(f"choose a date no later than the year {LAST_YEAR}")
    return moment


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
