"""Lifting holds: by two admins, with a reason, once; and the log shows who."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from server.domain.accounts import granting
from server.domain.decisions import deciding, lifting
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release import decisions, holds
from server.domain.release.decisions import Decision, DecisionFilter, DecisionKind
from tests import tampering
from tests.world import World, cases

ON = ("gpt-2/774M", "gpt-2", "everything", "organization:aurora-institute")
REASON = "The finding was not reproduced."


def held(world: World) -> list[str]:
    with world.use.database.reading() as session:
        return [hold.on for hold in holds.current(session, world.person("auditor"))]


def decision(world: World, decision_id: int) -> Decision:
    with world.use.database.reading() as session:
        return decisions.get(session, world.admin, decision_id)


@cases("on", ON)
def test_two_admins_lift_a_hold(world: World, on: str) -> None:
    """Whoever placed it may be one of them; the decision keeps what it rested on, and the entries name both."""
    holds.place(world.use, world.admin, on, "A finding.")
    made = lifting.propose(world.use, world.admin, on, REASON)
    assert (made.kind, made.subject, made.state) == (DecisionKind.LIFT, on, "proposed")
    assert held(world) == [on]
    done = lifting.approve(world.use, world.admin2, on)
    assert (done.id, done.state) == (made.id, "done")
    assert held(world) == []
    kept = decision(world, made.id)
    assert (kept.proposer.email, kept.approver and kept.approver.email) == (world.admin.person, world.admin2.person)
    assert kept.rested_on["hold"]["reason"] == "A finding."
    assert [record["decision"] for kind in ("decision.propose", "decision.approve", "hold.lift")
            for record in world.records(kind)[-1:]] == [made.id] * 3  # fmt: skip
    lifted = world.records("hold.lift")[-1]
    assert (lifted["on"], lifted["reason"], lifted["actor"]["person"]) == (on, REASON, world.admin2.person)


def test_a_stage_is_named_by_its_own_name_whichever_alias_is_given(world: World) -> None:
    """And its decisions list the lift."""
    holds.place(world.use, world.admin, "gpt-2/762M", "A finding.")
    made = lifting.propose(world.use, world.admin, "gpt-2/762M", REASON)
    assert made.subject == "gpt-2/774M"
    lifting.approve(world.use, world.admin2, "gpt-2/762M")
    with world.use.database.reading() as session:
        listed = decisions.listed(session, world.admin, DecisionFilter(stage="gpt-2/774M"), Slice(50))
        assert made.id in [one.id for one in listed.items]


def test_one_admin_alone_lifts_nothing(world: World) -> None:
    """Not the proposer, not a second time, not somebody whose role waits, and not one whose role one person gave."""
    with pytest.raises(NotPossible, match="not on hold"):
        lifting.propose(world.use, world.admin, "gpt-2", REASON)
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    with pytest.raises(NotPossible, match="Nobody has proposed"):
        lifting.approve(world.use, world.admin2, "gpt-2")
    lifting.propose(world.use, world.admin, "gpt-2", REASON)
    with pytest.raises(NotPossible, match="already proposes this"):
        lifting.propose(world.use, world.admin2, "gpt-2", REASON)
    with pytest.raises(NotPossible, match="You proposed this yourself"):
        lifting.approve(world.use, world.admin, "gpt-2")
    granting.propose(world.use, world.admin, str(world.person("auditor").person), Role.ADMIN)
    with pytest.raises(NotPermitted):
        lifting.approve(world.use, world.person("auditor"), "gpt-2")
    third = "third@example-lab.example"
    world.add_person("example-lab", third, Role.ADMIN)
    world.tampered = True
    tampering.run(world.settings.database_url, "DELETE FROM role_grants WHERE NOT is_root")
    with pytest.raises(NotPossible, match="by one person alone"):
        lifting.approve(world.use, world.person_of(third), "gpt-2")
    assert held(world) == ["gpt-2"]
    assert world.records("hold.lift") == []


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_lift(sqlite_world: World, by: str) -> None:
    """Neither half of it."""
    world = sqlite_world
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    with pytest.raises(NotPermitted):
        lifting.propose(world.use, world.person(by), "gpt-2", REASON)
    lifting.propose(world.use, world.admin, "gpt-2", REASON)
    with pytest.raises(NotPermitted):
        lifting.approve(world.use, world.person(by), "gpt-2")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2001])
def test_a_lift_has_a_reason(sqlite_world: World, reason: str) -> None:
    """Others read it."""
    holds.place(sqlite_world.use, sqlite_world.admin, "gpt-2", "A finding.")
    with pytest.raises(InvalidRequest):
        lifting.propose(sqlite_world.use, sqlite_world.admin, "gpt-2", reason)


def test_what_is_not_there_has_no_hold_to_lift(sqlite_world: World) -> None:
    """Whatever it is called; and the lab is never on hold."""
    for on in ("gpt-9", "gpt-2/9B", "organization:nobody", ""):
        with pytest.raises(NotFound):
            lifting.propose(sqlite_world.use, sqlite_world.admin, on, REASON)


@pytest.mark.parametrize("end", [deciding.reject, deciding.cancel])
def test_a_proposed_lift_is_rejected_or_cancelled_and_can_be_proposed_anew(world: World, end: object) -> None:
    """The hold stays meanwhile, and what was closed lifts nothing."""
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    made = lifting.propose(world.use, world.admin, "gpt-2", REASON)
    end(world.use, world.admin2, made.id, "Not yet.")  # type: ignore[operator]
    with pytest.raises(NotPossible, match="Nobody has proposed"):
        lifting.approve(world.use, world.admin2, "gpt-2")
    assert held(world) == ["gpt-2"]
    world.lift("gpt-2")
    assert held(world) == []


def test_a_proposal_of_before_does_not_lift_a_hold_that_is_placed_again(world: World) -> None:
    """Its reason was about the hold before."""
    for _ in range(2):
        holds.place(world.use, world.admin, "gpt-2", "A finding.")
        with pytest.raises(NotPossible, match="Nobody has proposed"):
            lifting.approve(world.use, world.admin2, "gpt-2")
        world.lift("gpt-2")


def test_two_who_approve_at_once_lift_once(world: World) -> None:
    """The second one finds nothing left to approve."""
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    lifting.propose(world.use, world.admin, "gpt-2", REASON)

    def approve(_: int) -> bool:
        try:
            lifting.approve(world.use, world.admin2, "gpt-2")
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(approve, range(2))) == [False, True]
    assert len(world.records("hold.lift")) == 1
