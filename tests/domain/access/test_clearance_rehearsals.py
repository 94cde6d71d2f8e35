"""Rehearsals of a clearance: what is told before is what the access rule answers after."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from server.domain.access import clearance_rehearsals, clearances, rule
from server.domain.access.clearance_rehearsals import Rehearsal
from server.domain.access.facts import find_stage, gather
from server.domain.errors import InvalidRequest, NotFound, NotPermitted
from server.domain.identity import people
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import agreements, holds
from tests.world import World, cases

DAY = timedelta(days=1)
SIGNED, UNSIGNED, NEW = "aurora-institute", "birch-university", "cedar-systems"


def rehearse(world: World, partner: str, tier: str, model: str = "gpt-2", by: str = "auditor") -> Rehearsal:
    with world.use.database.reading() as session:
        return clearance_rehearsals.rehearse(
            session, world.use, world.person(by), partner, model, tier, expires_at=world.clock() + 90 * DAY
        )


def code(world: World, who: str, stage: str) -> str | None:
    """What the rule answers a person of the organization."""
    with world.use.database.reading() as session:
        facts = gather(session, world.person(who), find_stage(session, stage))
    refused = rule.refusal(facts, world.clock())
    return None if refused is None else refused.code


HAPPENED: dict[str, Callable[[World], object]] = {
    "nothing": lambda _: None,
    "a hold on a stage": lambda world: holds.place(world.use, world.admin, "mini-gpt/base", "A question."),
    "a hold on the model": lambda world: holds.place(world.use, world.admin, "gpt-2", "A question."),
    "a suspension": lambda world: holds.place(world.use, world.admin, f"organization:{NEW}", "A question."),
    "a new version": lambda world: agreements.publish(world.use, world.admin, "model-sharing", "# New\n\nx\n"),
    "a new version with time": lambda world: agreements.publish(
        world.use, world.admin, "model-sharing", "# New\n\nx\n", resign_within_days=9
    ),
    "a stage made public": lambda world: world.move("mini-gpt/base", "public"),
    "a stage withdrawn": lambda world: world.move("gpt-2/774M", "withdrawn"),
}


@cases("happened", HAPPENED)
def test_it_says_what_the_rule_answers_once_the_clearance_is_given(world: World, happened: str) -> None:
    """For each tier, model and partner, whatever has happened; and of now what it answers now."""
    HAPPENED[happened](world)
    for who, partner in (("cleared", SIGNED), ("unsigned", UNSIGNED), ("uncleared", NEW)):
        for model, tier in (("gpt-2", "registered"), ("gpt-2", "research"), ("mini-gpt", "partner")):
            told = rehearse(world, partner, tier, model)
            assert told.outcomes
            for one in told.outcomes:
                assert code(world, who, one.full_name) == (one.now and one.now.code), one
            made = clearances.propose(
                world.use, world.admin, partner, model, tier, expires_at=world.clock() + 90 * DAY, purpose="x"
            )
            if made.approved_at is None:
                clearances.approve(world.use, world.admin2, made.id)
            for one in told.outcomes:
                assert code(world, who, one.full_name) == (one.then and one.then.code), one
            clearances.revoke(world.use, world.admin, made.id)


def test_each_stage_says_what_becomes_of_it_and_why(sqlite_world: World) -> None:
    """In words for the lab; of a planned stage, what would refuse even when it is released."""
    world, unsigned = sqlite_world, "the organization has not signed model-sharing"
    said = {one.full_name: one.in_words for one in rehearse(world, NEW, "research").outcomes}
    assert said == {
        "gpt-2/124M": "is open already",
        "gpt-2/355M": "is open already",
        "gpt-2/774M": f"stays closed: {unsigned}",
        "gpt-2/1558M": f"stays closed until it is released, and then because {unsigned}",
    }
    said = {one.full_name: one.in_words for one in rehearse(world, SIGNED, "partner", "mini-gpt").outcomes}
    assert said == {"mini-gpt/base": "is open already", "mini-gpt/large": "opens"}
    said = {one.full_name: one.in_words for one in rehearse(world, NEW, "registered").outcomes}
    assert said["gpt-2/774M"] == "stays closed: it requires the tier research"
    (last,) = (one for one in rehearse(world, SIGNED, "partner").outcomes if one.full_name == "gpt-2/1558M")
    assert last.in_words == "stays closed until it is released"


def test_it_counts_those_who_could_download(world: World) -> None:
    """People who are active and whose role lets them; nobody where the stage stays closed."""
    world.add_person("aurora-institute", "member@aurora-institute.example", Role.MEMBER)
    world.add_person("aurora-institute", "gone@aurora-institute.example", Role.MEMBER)
    people.disable(world.use, world.admin, "gone@aurora-institute.example")
    told = rehearse(world, SIGNED, "partner", "mini-gpt")
    active = told.people
    assert active >= 2
    assert {one.full_name: one.people for one in told.outcomes} == {"mini-gpt/base": active, "mini-gpt/large": active}
    assert [one.people for one in rehearse(world, NEW, "partner", "mini-gpt").outcomes] == [0, 0]


def test_it_says_until_when(world: World) -> None:
    """Until the clearance ends; a longer one that is there already lasts; the time to sign again may end it before."""
    end = world.clock() + 90 * DAY

    def until(stage: str) -> timedelta | None:
        (one,) = (one for one in rehearse(world, SIGNED, "partner", "mini-gpt").outcomes if one.full_name == stage)
        return None if one.until is None else one.until - end

    opened = until("mini-gpt/large")
    assert opened is not None
    assert timedelta(0) <= opened < timedelta(minutes=5)
    lasts = until("mini-gpt/base")
    assert lasts is not None
    assert lasts > 30 * DAY  # under the one that it has
    agreements.publish(world.use, world.admin, "model-sharing", "# New\n\nx\n", resign_within_days=9)
    ends = until("mini-gpt/large")
    assert ends is not None
    assert -82 * DAY < ends < -79 * DAY


def test_nothing_is_written_and_only_those_who_audit_may_ask(world: World) -> None:
    """Neither an entry nor a row; partners and publishers are refused."""
    entries = len(world.entries())
    rehearse(world, NEW, "research", by="admin")
    assert len(world.entries()) == entries
    with world.use.database.reading() as session:
        mine = clearances.ClearanceFilter()
        assert len(clearances.listed(session, world.admin, mine, Slice(50), world.clock()).items) == 4
    for name in ("publisher", "cleared"):
        with pytest.raises(NotPermitted):
            rehearse(world, NEW, "research", by=name)
    for wrong in ((NEW, "nothing", "gpt-2"), (NEW, "research", "nothing"), ("nobody", "research", "gpt-2")):
        with pytest.raises(NotFound):
            rehearse(world, *wrong)
    with world.use.database.reading() as session, pytest.raises(InvalidRequest):
        clearance_rehearsals.rehearse(
            session, world.use, world.admin, NEW, "gpt-2", "research", expires_at=world.clock() - DAY
        )
