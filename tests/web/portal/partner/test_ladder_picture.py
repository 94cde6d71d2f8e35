"""The ladder as a picture: steps that rise from left to right within the picture, however many there are."""

from datetime import UTC, datetime

import pytest

from server.domain.access.releases import Family, Release
from server.domain.release.plans import Plan, Window
from server.domain.release.stages import StageState
from server.web.portal.partner import ladder_picture
from server.web.portal.partner.ladder_picture import STEPS_AT_MOST

AT = datetime(2019, 8, 20, tzinfo=UTC)
NONE = Plan()


def family(*states: StageState, plan: Plan = NONE) -> Family:
    return Family(
        "gpt-2", "GPT-2", [Release(str(n), state, AT, plan, None, None, 0, 0, 0, ()) for n, state in enumerate(states)]
    )


@pytest.mark.parametrize("count", [1, 2, 4, 7, STEPS_AT_MOST])
def test_steps_rise_and_stay_within_the_picture(count: int) -> None:
    """Beside each other, each higher than the one before, with room above for its name."""
    drawn = ladder_picture.of(family(*[StageState.PUBLIC] * count))
    assert drawn is not None
    edges = [edge for step in drawn.steps for edge in (step.left, step.left + step.width)]
    assert edges == sorted(edges)
    assert edges[0] >= 0
    assert edges[-1] <= 100
    tops = [step.top for step in drawn.steps]
    assert tops == sorted(set(tops), reverse=True)
    assert min(tops) >= 30
    assert all(step.top + step.height == drawn.ground < drawn.height for step in drawn.steps)
    assert (drawn.width is None) == (count <= 6)


def test_a_ladder_that_is_too_long_is_not_drawn() -> None:
    """Its table tells it."""
    assert ladder_picture.of(family(*[StageState.PUBLIC] * (STEPS_AT_MOST + 1))) is None


def test_a_step_says_since_when_or_for_when() -> None:
    """A planned one by its window; where that is undecided, nothing."""
    window = Plan(Window("2026-11", "2027-01"))
    for state, plan, when in (
        (StageState.PUBLIC, window, "Aug 2019"), (StageState.PLANNED, window, "Nov 2026"),
        (StageState.PLANNED, NONE, None),
    ):  # fmt: skip
        drawn = ladder_picture.of(family(state, plan=plan))
        assert drawn is not None
        assert drawn.steps[0].when == when
