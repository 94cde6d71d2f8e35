"""Permits: keys change when two people agreed on it for this log; alone only where nobody else is left, and told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.audit import rotation, rotation_permits, verifying
from server.domain.audit.rotation_permits import Terms
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.domain.identity import people
from server.domain.operation import carrying_out
from tests import own_keys
from tests.world import World as AnyWorld

BECAUSE = "A new year."
ALONE = "it takes two people, and names no proposal that a second one approved"


@pytest.fixture
def world(world: AnyWorld) -> AnyWorld:
    """With keys of its own, which can be changed."""
    own_keys.give_own_keys(world)
    return world


def propose(world: AnyWorld, terms: Terms = Terms(BECAUSE)) -> int:  # noqa: B008  # it is frozen
    return rotation_permits.propose(world.use, world.admin, terms).id


def found(world: AnyWorld) -> list[str]:
    world.seal()
    return [fault.sentence for one in verifying.verify(world.use, tables=True) for fault in one.faults]


def test_keys_change_when_another_admin_has_approved(world: AnyWorld) -> None:
    """Not before, and not by the proposer's own approval; both entries name who allowed it."""
    number = propose(world)
    for refused in (
        lambda: carrying_out.approve(world.use, world.admin, number),
        lambda: rotation.rotate(world.use, world.admin),
        lambda: rotation.rotate(world.use, world.admin2),
    ):
        with pytest.raises(NotPossible):
            refused()
    assert world.entries("log.open") == []
    carrying_out.approve(world.use, world.admin2, number)
    assert world.entries("log.open") == []  # the log's keys are not the portal's
    rotation.rotate(world.use, world.admin)
    for kind in ("log.close", "log.open"):
        (record,) = world.records(kind)
        assert (record["proposal"], record["because"]) == (number, BECAUSE)
        assert (record["proposed_by"], record["approved_by"]) == (world.admin.person, world.admin2.person)
    assert found(world) == []


def test_a_permit_is_for_one_log_once(world: AnyWorld) -> None:
    """The next log takes another one, and one that was rejected allows nothing."""
    own_keys.rotate(world.use)
    for _ in range(2):
        with pytest.raises(NotPossible, match="Nobody has approved"):
            rotation.rotate(world.use, world.admin)
        carrying_out.reject(world.use, world.admin2, propose(world))
    assert len(world.entries("log.open")) == 1
    assert found(world) == []


def test_a_permit_ends_after_a_week(world: AnyWorld) -> None:
    """What two agreed on in May is no reason in August."""
    own_keys.permit(world.use)
    world.clock.advance(timedelta(days=7, seconds=1))
    with pytest.raises(NotPossible, match="in the last 7 days"):
        rotation.rotate(world.use, world.admin)


@pytest.mark.parametrize("because", ["", "  ", "x" * 10_001])
def test_a_rotation_says_why(world: AnyWorld, because: str) -> None:
    """In at most 1000 characters."""
    with pytest.raises(InvalidRequest):
        propose(world, Terms(because))


@pytest.mark.parametrize("who", ["publisher", "auditor", "cleared"])
def test_none_but_admins_propose_and_rotate(world: AnyWorld, who: str) -> None:
    """Whoever else asks changes nothing, whatever was approved."""
    own_keys.permit(world.use)
    with pytest.raises(NotPermitted):
        rotation_permits.propose(world.use, world.person(who), Terms(BECAUSE))
    with pytest.raises(NotPermitted):
        rotation.rotate(world.use, world.person(who))
    assert world.entries("log.open") == []


def test_one_person_rotates_only_where_nobody_else_is_left(world: AnyWorld) -> None:
    """On the host, with a reason; each verification of the log repeats it, and it is no fault."""
    alone = Terms("Ben has left, and the key was stolen.")
    with pytest.raises(NotPossible, match="can still approve"):
        rotation.rotate(world.use, world.admin, alone)
    people.reset_password(world.use, world.admin, str(world.admin2.person))  # from now on nobody can approve
    with pytest.raises(NotPermitted):
        rotation.rotate(world.use, replace(world.admin, via="session"), alone)
    with pytest.raises(InvalidRequest):
        rotation.rotate(world.use, world.admin, Terms(" "))
    rotation.rotate(world.use, world.admin, alone)
    world.seal()
    told = verifying.verify(world.use, tables=True)
    assert [fault for one in told for fault in one.faults] == []
    assert told[-1].notes == [f"the log's keys were rotated on the host by {world.admin.person} alone: {alone.because}"]


def past_the_rule(world: AnyWorld, patch: pytest.MonkeyPatch, terms: Terms) -> list[str]:
    """What is found of a rotation that the rule did not allow."""
    world.tampered = True
    patch.setattr(rotation_permits, "require", lambda *_: terms)
    rotation.rotate(world.use, world.admin)
    return found(world)


def test_a_rotation_by_one_person_is_named(world: AnyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a proposal, and by one that nobody approved."""
    assert past_the_rule(world, monkeypatch, Terms(BECAUSE, allowed_by={})) == [ALONE]
    names = {"proposed_by": world.admin.person, "approved_by": world.admin2.person}
    again = past_the_rule(world, monkeypatch, Terms(BECAUSE, allowed_by={"proposal": propose(world), **names}))
    assert again == [
        ALONE,
        "it names others than those who proposed and approved it",
        "what allowed it had ended",
        ALONE,
    ]


def test_a_rotation_other_than_was_approved_is_named(world: AnyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """For another reason, or later than a week."""
    names = {"proposed_by": world.admin.person, "approved_by": world.admin2.person}
    permit = {"proposal": own_keys.permit(world.use), **names}
    world.clock.offset += timedelta(days=8)
    assert past_the_rule(world, monkeypatch, Terms("Another.", allowed_by=permit)) == [
        "what allowed it had ended", "it does something else than was proposed",
    ]  # fmt: skip


def test_whoever_says_that_they_were_alone_and_were_not_is_named(
    world: AnyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With whoever could have approved."""
    assert past_the_rule(world, monkeypatch, Terms(BECAUSE)) == [
        f"{world.admin2.person} could have approved it, but it was done alone"
    ]


def test_an_approval_in_a_log_that_is_abandoned_is_judged_by_the_next_one(
    world: AnyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faults of an abandoned log are known, so whoever leaves it by themselves would be forgiven there."""
    number = propose(world, Terms(BECAUSE, abandon=True))
    told = {name: value for name, value in world.records("proposal.create")[-1].items() if name not in {"kind", "time"}}
    world.plant(EntryKind.PROPOSAL_APPROVE, told)
    world.settings.log_key_file.unlink()
    names = {"proposed_by": world.admin.person, "approved_by": world.admin.person}
    past_the_rule(world, monkeypatch, Terms(BECAUSE, abandon=True, allowed_by={"proposal": number, **names}))
    new = verifying.verify(world.use)[-1]
    assert [fault.sentence for fault in new.faults] == ["it was proposed and approved by the same person"]
