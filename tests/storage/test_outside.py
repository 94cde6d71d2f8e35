"""The outside: who does not answer, or has another clock, stops issuing; and nobody waits for it."""

from datetime import UTC, datetime, timedelta

import pytest

from server.storage.outside import FAILED_PROBES_AT_MOST, Outside, OutsideError, OutsideFault

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Other:
    """Somebody who is asked for the time."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)
        self.answers = True

    def __call__(self) -> datetime:
        if not self.answers:
            raise OutsideError
        return NOW + self.ahead


@pytest.fixture
def other() -> Other:
    return Other()


def looking(other: Other, *, must_answer: bool = True) -> Outside:
    return Outside({"object store": other}, lambda: NOW, frozenset({"object store"} if must_answer else ()))


def test_nothing_is_wrong_before_anybody_was_asked(other: Other) -> None:
    """A server that starts does not wait for the store."""
    other.answers = False
    looking(other).require()


def test_a_store_that_does_not_answer_stops_issuing_until_it_does(other: Other) -> None:
    """One that is started again in between is not reported."""
    outside = looking(other)
    other.answers = False
    for _ in range(FAILED_PROBES_AT_MOST):
        outside.look()
        outside.require()
    outside.look()
    with pytest.raises(OutsideFault, match="the object store has not answered 3 times in a row: start it"):
        outside.require()
    other.answers = True
    outside.look()
    outside.require()


def test_settings_may_go_on_without_the_store(other: Other) -> None:
    """Then URLs are issued that work once it is back."""
    outside = looking(other, must_answer=False)
    other.answers = False
    for _ in range(10):
        outside.look()
    outside.require()


@pytest.mark.parametrize("seconds", [-62, 61, 3600, -86400])
def test_a_clock_that_differs_stops_issuing(other: Other, seconds: int) -> None:
    """URLs would live too long or too short; the sentence says by how much, and silence afterwards changes nothing."""
    outside = looking(other, must_answer=False)
    other.ahead = timedelta(seconds=seconds)
    outside.look()
    other.answers = False
    outside.look()
    with pytest.raises(
        OutsideFault, match=f"our clock and the object store's differ by {abs(seconds) - (seconds < 0)}"
    ):
        outside.require()


class Moved:
    """Our clock, which somebody sets, and the steady one beside it."""

    def __init__(self) -> None:
        self.passed, self.jumped = 0.0, timedelta(0)

    def __call__(self) -> datetime:
        return NOW + timedelta(seconds=self.passed) + self.jumped

    def steady(self) -> float:
        return 1000 + self.passed


@pytest.mark.parametrize("seconds", [-86400, -61, 61, 3600])
def test_a_clock_that_jumps_between_two_looks_stops_issuing_at_once(other: Other, seconds: int) -> None:
    """Time that passes is no jump, however much. It is over once the clock is right, or the others have come along."""
    ours = Moved()
    outside = Outside({"object store": other}, ours, frozenset(), ours.steady)
    ours.jumped = timedelta(seconds=seconds)
    outside.require()  # nobody has agreed with it yet
    ours.jumped = timedelta(0)
    outside.look()
    ours.passed = 7200
    outside.require()
    ours.jumped = timedelta(seconds=seconds)
    with pytest.raises(OutsideFault, match=f"our clock has just been moved by {seconds} s: within 15 s"):
        outside.require()
    other.answers = False
    outside.look()  # nobody to compare it with
    with pytest.raises(OutsideFault, match="has just been moved"):
        outside.require()
    ours.jumped = timedelta(0)
    outside.require()
    ours.jumped, other.answers = timedelta(seconds=seconds), True
    other.ahead = timedelta(seconds=ours.passed) + ours.jumped
    outside.look()
    outside.require()


def test_a_jump_of_a_minute_is_as_much_as_clocks_may_differ(other: Other) -> None:
    """What a look allows, a request allows too."""
    ours = Moved()
    outside = Outside({"object store": other}, ours, frozenset(), ours.steady)
    outside.look()
    ours.jumped = timedelta(seconds=60)
    outside.require()


@pytest.mark.parametrize("seconds", [-61, -60, 0, 60])
def test_a_minute_is_allowed(other: Other, seconds: int) -> None:
    """And the second that a Date does not tell."""
    outside = looking(other)
    other.ahead = timedelta(seconds=seconds)
    outside.look()
    outside.require()
