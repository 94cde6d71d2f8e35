"""Dates: one form each for people and programs, in UTC whatever zone a moment comes in."""

from datetime import UTC, date, datetime, timedelta, timezone

from server import dates

AT = datetime(2019, 8, 20, 14, 3, 5, 678_901, tzinfo=UTC)
ELSEWHERE = AT.astimezone(timezone(timedelta(hours=12)))  # the next day there


def test_a_moment_is_told_in_utc() -> None:
    """In words to the day, the minute and the second, and for programs in RFC 3339; nothing is rounded up."""
    for at in (AT, ELSEWHERE):
        assert dates.day(at) == "20 August 2019"
        assert dates.minute(at) == "20 August 2019, 14:03 UTC"
        assert dates.second(at) == "20 August 2019, 14:03:05 UTC"
        assert dates.rfc3339(at) == "2019-08-20T14:03:05Z"


def test_a_day_is_told_as_it_is() -> None:
    """A date has no zone, and one digit is no two."""
    assert dates.day(date(2027, 1, 3)) == "3 January 2027"


def test_the_last_day_is_the_one_that_people_chose() -> None:
    """What ends at midnight still works on the day before."""
    end = datetime(2027, 2, 1, tzinfo=UTC)
    assert dates.last_day(end) == "31 January 2027"
    assert dates.last_day(end + timedelta(hours=1)) == "1 February 2027"
