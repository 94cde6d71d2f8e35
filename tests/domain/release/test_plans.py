"""Plans: months, forwards only, in words that say honestly when a window is over."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from server.domain.errors import InvalidRequest
from server.domain.release import plans
from server.domain.release.plans import Plan, Window

GOOD = {
    "2026-11..2027-01": "November 2026 to January 2027",
    "2028-02": "February 2028",
    "2028-02..2028-02": "February 2028",
    "2019-08..2019-11": "August 2019 to November 2019",
    "9000-12": "December 9000",
}
BAD = [
    "", "..", "2026-11..", "..2026-11", "2026-13", "2026-00", "2026-1", "2026-11-01", "0000-01", "9001-01", "soon",
    "2027-01..2026-12", "2026-11..2026-10", "2026-11...2027-01", "2026-11..2027-01..2027-02", "Undecided", " 2026-11",
    "2026-11\n", "٢٠٢٦-11",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_window_is_read_and_said_in_words(text: str) -> None:
    """Across years, of one month, of the past; and what is written is read again."""
    window = plans.parse(text)
    assert window is not None
    assert window.in_words == GOOD[text]
    assert plans.parse(plans.as_text(window)) == window


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_window_is_refused(text: str) -> None:
    """No such month, another form, an end before its beginning."""
    with pytest.raises(InvalidRequest):
        plans.parse(text)


def test_undecided_is_no_window() -> None:
    """And is written so."""
    assert plans.parse("undecided") is None
    assert plans.as_text(None) == "undecided"


AT_THE_END = [  # of February in a leap year, in UTC
    (datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC), False),
    (datetime(2028, 3, 1, tzinfo=UTC), True),
    (datetime(2028, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), False),
    (datetime(2028, 2, 29, 23, tzinfo=timezone(timedelta(hours=-2))), True),
    (datetime(2027, 12, 31, tzinfo=UTC), False),
]


@pytest.mark.parametrize(("at", "over"), AT_THE_END)
def test_a_window_is_over_with_its_last_month(at: datetime, over: bool) -> None:
    """In UTC, on a leap day too, wherever the clock that is asked stands."""
    plan = Plan(Window("2027-12", "2028-02"))
    said = "Was planned for" if over else "Planned for"
    assert plan.when("planned", at) == f"{said} December 2027 to February 2028"


NOW = datetime(2026, 11, 29, tzinfo=UTC)
SAID = [
    (Plan(), "planned", None),
    (Plan(None, "Soon."), "planned", "Soon."),
    (Plan(Window("2026-11", "2026-11")), "planned", "Planned for November 2026."),
    (Plan(Window("2026-10", "2026-10"), "Late."), "planned", "Was planned for October 2026. Late."),
    (Plan(Window("2026-12", "2027-01")), "partners", "Public release planned for December 2026 to January 2027."),
    (Plan(Window("2026-10", "2026-10")), "partners", "Public release was planned for October 2026."),
    (Plan(Window("2026-12", "2026-12"), "Out."), "public", "Out."),
    (Plan(Window("2026-12", "2026-12")), "withdrawn", None),
]


@pytest.mark.parametrize(("plan", "state", "words"), SAID)
def test_a_plan_is_said_by_what_is_still_to_come(plan: Plan, state: str, words: str | None) -> None:
    """A public or withdrawn stage has no step before it: its note stays, its window is past."""
    assert plan.in_words(state, NOW) == words


def test_a_note_is_short_and_none_where_it_is_empty() -> None:
    """Spaces around it do not count."""
    assert plans.require_note("  ") is plans.require_note(None) is None
    assert plans.require_note(f" {'x' * 500} ") == "x" * 500
    with pytest.raises(InvalidRequest, match="This has 501"):
        plans.require_note("x" * 501)
