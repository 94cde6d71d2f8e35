"""Reminders: on the right day of the calendar in UTC, each once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest

from server.domain.access import reminders
from server.domain.access.reminders import About, Reminder
from tests.world import World

DAYS = (60, 30, 7, 1)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("ends_at", "days", "first_moment"),
    [
        ("2027-03-02", 1, "2027-02-28"),  # its last day is 1 March; the day before is 28 February
        ("2028-03-02", 1, "2028-02-29"),  # in a leap year 29 February
        ("2028-03-01", 1, "2028-02-28"),  # its last day is 29 February
        ("2028-03-08", 7, "2028-02-29"),
        ("2028-04-30", 60, "2028-02-29"),
        ("2027-04-30", 60, "2027-02-28"),
        ("2027-01-31", 30, "2026-12-31"),
        ("2027-03-29", 1, "2027-03-27"),  # the night in which Europe's clocks go forward, to which UTC has none
        ("2026-10-26", 1, "2026-10-24"),  # and back
        ("2026-11-02", 7, "2026-10-25"),
        ("2026-10-25T12:00:00", 1, "2026-10-24"),  # what ends at noon has that day as its last
    ],
)
def test_a_reminder_is_due_from_the_first_moment_of_its_day(ends_at: str, days: int, first_moment: str) -> None:
    """Days are those of the calendar in UTC: leap days count, and no clock change moves them by an hour."""
    end, moment = day(ends_at), day(first_moment)
    assert reminders.due(end, [days], since=LONG_AGO, at=moment - SECOND) is None
    assert reminders.due(end, [days], since=LONG_AGO, at=moment) == days
    assert reminders.days_left(end, moment) == days
    east = moment.astimezone(timezone(timedelta(hours=14)))
    assert reminders.due(end, [days], since=LONG_AGO, at=east) == days
    assert reminders.due(end, [days], since=LONG_AGO, at=east - SECOND) is None


def test_the_nearest_one_is_due_until_all_is_over() -> None:
    """Whoever was away over two of them sends the last alone, and nothing once it has ended."""
    end = day("2027-05-01")  # its last day is 30 April
    for before, wanted in ((61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (2, 7), (1, 1), (0, 1)):
        at = day("2027-04-30") - before * DAY
        assert reminders.due(end, DAYS, since=LONG_AGO, at=at) == wanted, before
    assert reminders.due(end, DAYS, since=LONG_AGO, at=end - SECOND) == 1
    assert reminders.due(end, DAYS, since=LONG_AGO, at=end) is None


@pytest.mark.parametrize(("lasts_days", "wanted"), [(61, {60, 30, 7, 1}), (60, {30, 7, 1}), (20, {7, 1}), (1, set())])
def test_no_reminder_lies_before_the_beginning(lasts_days: int, wanted: set[int]) -> None:
    """What was given for 20 days is not announced to end in 30; nor on the day on which it is given."""
    since = day("2027-01-01") + timedelta(hours=9)
    end = day("2027-01-01") + (lasts_days + 1) * DAY
    moments = [since + hours * timedelta(hours=1) for hours in range(24 * (lasts_days + 1))]
    assert {reminders.due(end, DAYS, since=since, at=at) for at in moments} - {None} == wanted


def test_each_is_claimed_once_and_none_after_a_nearer_one(world: World) -> None:
    """By its number, whatever other reminders there are."""
    at = world.clock()

    def claim(about: About, subject_id: int, days: int) -> bool:
        with world.use.database.transaction() as session:
            return reminders.claim(session, about, subject_id, days, at)

    assert claim(About.CLEARANCE, 1, 30)
    assert not claim(About.CLEARANCE, 1, 30)
    assert not claim(About.CLEARANCE, 1, 60)
    assert claim(About.CLEARANCE, 1, 7)
    assert claim(About.CLEARANCE, 2, 30)
    assert claim(About.WEEK, 1, 30)
    with world.use.database.reading() as session:
        assert reminders.nearest(session, About.CLEARANCE, [1, 2, 3]) == {1: 7, 2: 30}
        assert reminders.nearest(session, About.CLEARANCE, []) == {}


def test_of_two_that_claim_at_once_one_sends(world: World) -> None:
    """The second waits until the first has committed, and is told no; taken back, it is the other's."""
    at, both = world.clock(), threading.Barrier(2, timeout=20)

    def claim(days: int) -> bool:
        both.wait()
        with world.use.database.transaction() as session:
            return reminders.claim(session, About.CLEARANCE, 1, days, at)

    with ThreadPoolExecutor(2) as pool:
        for days in range(30, 0, -1):
            assert sorted(pool.map(claim, [days, days])) == [False, True]
    with world.use.database.reading() as session:
        assert session.query(Reminder).count() == 30
