"""Dates: one form each for people and programs, in UTC whatever zone a moment comes in."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

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


@pytest.mark.parametrize(("text", "ends", "moment"), [
    ("2027-01-31", True, "2027-02-01T00:00:00Z"),
    ("2027-01-31", False, "2027-01-31T00:00:00Z"),
    ("2027-01-31T12:00:00Z", True, "2027-01-31T12:00:00Z"),
    ("2027-01-31T12:00+02:00", True, "2027-01-31T10:00:00Z"),
    ("2028-02-29", True, "2028-03-01T00:00:00Z"),
    ("9000-12-31", True, "9001-01-01T00:00:00Z"),
])  # fmt: skip
def test_a_day_that_somebody_wrote_is_read(text: str, ends: bool, moment: str) -> None:
    """As an end, a day is over when the next one begins; a moment is what it says, whatever its zone."""
    assert dates.rfc3339(dates.chosen(text, ends=ends)) == moment


@pytest.mark.parametrize(("text", "sentence"), [
    ("2027-W05-7", "write 2027-01-31"), ("20270131", "write 2027-01-31"), ("2027-031", "write 2027-01-31"),
    ("2027-01-31 12:00:00Z", "write 2027-01-31"), ("2027-01-31T12", "write 2027-01-31"), ("", "write 2027-01-31"),
    ("٢٠٢٧-01-31", "write 2027-01-31"), ("2027-01-31T12:00:00", "add the time zone"), ("2027-02-29", "no such day"),
    ("2027-01-31T25:00:00Z", "no such day"), ("9001-01-01", "the year 9000"), ("9999-12-31T23:59:59-14:00", "the year"),
])  # fmt: skip
def test_other_forms_of_a_day_are_refused(text: str, sentence: str) -> None:
    """What Python reads beyond the documented forms means something else to somebody; a zone is never guessed."""
    for ends in (False, True):
        with pytest.raises(ValueError, match=sentence):
            dates.chosen(text, ends=ends)
