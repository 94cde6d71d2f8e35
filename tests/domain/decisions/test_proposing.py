"""Proposing: up and down the ladder, at once or at a time, with texts that are kept, and the same only once."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from server.domain.decisions import proposing, records
from server.domain.decisions.proposing import Proposal
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.release import stages
from server.domain.release.decisions import Decision, DecisionState
from server.domain.release.stages import StageState
from tests.world import World

HOUR = timedelta(hours=1)
MOVES = {
    ("planned", "partners"), ("planned", "public"), ("planned", "withdrawn"),
    ("partners", "public"), ("partners", "withdrawn"),
    ("public", "partners"), ("public", "withdrawn"),
}  # fmt: skip


def propose(
    world: World, stage: str = "gpt-2/774M", to: StageState = StageState.PUBLIC, by: str = "admin", **more: Any
) -> Decision:
    """Propose what is fit to be approved."""
    texts = {
        "rationale": "No partner found misuse.", "would_change": "A finding of misuse.",
        "public_reason": "Partners studied it for months.",
    }  # fmt: skip
    return proposing.propose(world.use, world.person(by), stage, Proposal(to, **(texts | more)))


def state_of(world: World, stage: str) -> str:
    """Where a stage is now."""
    with world.use.database.reading() as session:
        return str(stages.get(session, stage).state)


@pytest.mark.parametrize("before", StageState)
def test_a_stage_goes_up_back_to_partners_or_away(sqlite_world: World, before: StageState) -> None:
    """Every pair of states: the ones of the ladder are done, the others are not even proposed."""
    world = sqlite_world
    for to in StageState:
        name = f"mini-gpt/to-{to}"
        stages.add(world.use, world.admin, name, tier="research")
        if before is not StageState.PLANNED:
            world.move(name, before)
        known = len(world.entries())
        if (before.value, to.value) in MOVES:
            assert world.move(name, to).state == DecisionState.DONE
            assert state_of(world, name) == to
        else:
            with pytest.raises(NotPossible, match=f"is {before}"):
                propose(world, name, to)
            assert len(world.entries()) == known


def test_the_log_keeps_long_texts_by_their_hashes_and_the_public_one_whole(world: World) -> None:
    """The row has the texts; the entry what everybody will read."""
    made = propose(world, rationale="  # Why\r\n\r\nNothing was found. ", public_reason="Nothing was found.")
    record = world.records("decision.propose")[-1]
    assert made.rationale == "# Why\n\nNothing was found."
    assert record["rationale_sha256"] == records.sha256(made.rationale)
    assert record["would_change_sha256"] == records.sha256(made.would_change)
    assert record["evidence_sha256"] == records.sha256(made.evidence)
    assert record["public_reason"] == "Nothing was found."


BAD: list[tuple[dict[str, Any], type[Refused]]] = [
    ({"rationale": " "}, InvalidRequest), ({"rationale": "x" * 100_001}, InvalidRequest),
    ({"would_change": ""}, InvalidRequest), ({"would_change": "a\0b"}, InvalidRequest),
    ({"public_reason": "\n"}, InvalidRequest), ({"public_reason": "x" * 2001}, InvalidRequest),
    ({"opens_at": datetime(2019, 8, 20, tzinfo=UTC)}, InvalidRequest),
    ({"opens_at": datetime(2999, 8, 20, tzinfo=UTC)}, InvalidRequest),
    ({"findings": (1, 1)}, InvalidRequest), ({"findings": tuple(range(1, 202))}, InvalidRequest),
    ({"stage": "gpt-2/9B"}, NotFound), ({"stage": "gpt-2"}, NotFound),
    ({"to": StageState.PLANNED}, NotPossible),
]  # fmt: skip


def test_a_proposal_that_makes_no_sense_is_refused(sqlite_world: World) -> None:
    """Texts, a time to come within a year, findings once each, a stage that there is, a state that it can reach."""
    known = len(sqlite_world.entries())
    for more, code in BAD:
        with pytest.raises(code):
            propose(sqlite_world, **more)
    assert len(sqlite_world.entries()) == known


def test_a_moment_is_one_in_any_zone(world: World) -> None:
    """What is scheduled for a clock in Auckland opens at the same instant everywhere, also on a leap day."""
    local = (world.clock() + HOUR).astimezone(timezone(timedelta(hours=13)))
    made = propose(world, opens_at=local)
    assert made.opens_at == local
    assert world.records("decision.propose")[-1]["opens_at"] == int(local.timestamp() * 1000)


def test_a_year_ahead_is_the_most(sqlite_world: World) -> None:
    """366 days, a leap year: not a second more."""
    at = sqlite_world.clock()
    with pytest.raises(InvalidRequest, match="within 366 days"):
        propose(sqlite_world, opens_at=at + timedelta(days=366, seconds=60))
    assert propose(sqlite_world, opens_at=at + timedelta(days=366)).state == DecisionState.PROPOSED


def test_the_same_is_proposed_once(world: World) -> None:
    """A form that is sent twice; another moment or another state is another decision."""
    first = propose(world)
    with pytest.raises(NotPossible, match=f"Decision {first.id} already proposes this"):
        propose(world, by="admin2")
    assert propose(world, to=StageState.WITHDRAWN).id != first.id


def test_one_that_is_scheduled_begins_where_those_before_it_end(world: World) -> None:
    """Three moments of one stage are proposed at once: each from where the one before it leads."""
    at = world.clock()
    ladder = (StageState.PARTNERS, StageState.PUBLIC, StageState.WITHDRAWN)
    made = [propose(world, "gpt-2/1558M", to, opens_at=at + hours * HOUR) for hours, to in enumerate(ladder, 1)]
    assert [one.from_state for one in made] == ["planned", "partners", "public"]
    with pytest.raises(NotPossible, match="is withdrawn then"):
        propose(world, "gpt-2/1558M", StageState.PARTNERS, opens_at=at + 9 * HOUR)


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_propose(sqlite_world: World, by: str) -> None:
    """A publisher fills a stage; who may have it is for admins to say."""
    with pytest.raises(NotPermitted):
        propose(sqlite_world, by=by)
