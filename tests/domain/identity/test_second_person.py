"""The second person: not the proposer, with a role that two people gave, and in whose name nobody else acts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from server.domain.access import clearances
from server.domain.accounts import granting
from server.domain.callers import Caller
from server.domain.decisions import deciding, lifting, proposing
from server.domain.decisions.proposing import Proposal
from server.domain.errors import InsufficientScope, NotPossible, Refused
from server.domain.identity import people, second_person
from server.domain.operation import carrying_out
from server.domain.permissions import Permission, Role
from server.domain.release import holds
from server.domain.release.stages import StageState
from tests import tampering
from tests.own_account import choose_password, set_up_app
from tests.world import World

CLEO = "cleo@example-lab.example"
PROPOSE = Permission.DECISION_PROPOSE


def require(world: World, caller: Caller, proposer: Caller | None) -> None:
    with world.use.database.transaction() as session:
        second_person.require(session, caller, None if proposer is None else proposer.person_id, PROPOSE)


def refused(world: World, caller: Caller, proposer: Caller | None) -> Refused:
    with pytest.raises(Refused) as refusal:
        require(world, caller, proposer)
    return refusal.value


def test_each_of_the_first_two_admins_can_approve_what_the_other_proposed(world: World) -> None:
    """They are the root: nobody was there who could have given them their role."""
    require(world, world.admin2, world.admin)
    require(world, world.admin, world.admin2)
    require(world, world.admin, None)


def test_nobody_approves_their_own_and_reads_who_can(world: World) -> None:
    """The refusal names each admin who could."""
    refusal = refused(world, world.admin, world.admin)
    assert isinstance(refusal, NotPossible)
    assert refusal.next_step == f"Ask {world.admin2.person} to approve it."


def test_a_role_that_one_person_gave_approves_nobody_s(world: World) -> None:
    """Neither its giver's nor another's: it does not matter who alone made that admin."""
    world.tampered = True
    world.add_person("example-lab", CLEO, Role.ADMIN)
    tampering.run(world.settings.database_url, "DELETE FROM role_grants WHERE NOT is_root")
    for proposer in (world.admin, world.admin2):
        refusal = refused(world, world.person_of(CLEO), proposer)
        assert isinstance(refusal, NotPossible)
        assert "one person alone" in refusal.detail
    assert CLEO not in refused(world, world.admin, world.admin).next_step


def test_whoever_has_set_another_s_password_is_not_approved_in_that_name(world: World) -> None:
    """Nor do they approve what was proposed in that name, which could have been them."""
    people.reset_password(world.use, world.admin, str(world.admin2.person))
    refusal = refused(world, world.admin2, world.admin)
    assert isinstance(refusal, NotPossible)
    assert "could act in that name" in refusal.detail
    assert refusal.next_step.startswith("No other admin can approve this now.")
    assert "could act in that name" in refused(world, world.admin, world.admin2).detail


def test_a_token_approves_nothing(world: World) -> None:
    """Not even that of an admin who could: a person must sign in."""
    by_token = replace(world.admin2, via="token")
    assert isinstance(refused(world, by_token, world.admin), InsufficientScope)


def test_a_role_that_sql_changed_is_no_grant(world: World) -> None:
    """The grant must be of the very role that they have."""
    world.tampered = True
    with world.use.database.transaction() as session:
        session.get_one(people.Person, world.admin2.person_id).role = Role.AUDITOR
    assert isinstance(refused(world, world.admin2, world.admin), NotPossible)


def test_what_another_set_up_approves_nothing_until_it_is_replaced(world: World) -> None:
    """Both the password and the app, by the person; nobody is told to ask them before."""
    password, _ = granting.add(world.use, world.admin, "example-lab", CLEO, "Cleo", Role.ADMIN)
    granting.approve(world.use, world.admin2, CLEO)
    cleo = world.person_of(CLEO)
    for replaced in (None, choose_password, set_up_app):
        if replaced is choose_password:
            choose_password(world.use, CLEO, password)
        if replaced is set_up_app:
            set_up_app(world.use, CLEO)
            require(world, cleo, world.admin2)
            continue
        assert "still signs in with what another person set up" in refused(world, cleo, world.admin2).detail
        assert CLEO not in refused(world, world.admin2, world.admin2).next_step


Approve = Callable[[Caller], object]


def quota(world: World, by: Caller) -> Approve:
    world.use.settings = world.settings.model_copy(update={"quota_alone_bytes_per_day": 1})
    carrying_out.set_quota(world.use, by, "aurora-institute", bytes_per_day=9, requests_per_minute=None)
    made = carrying_out.set_quota(world.use, by, "aurora-institute", bytes_per_day=None, requests_per_minute=None)
    assert made is not None
    return lambda caller: carrying_out.approve(world.use, caller, made.id)


def role(world: World, by: Caller) -> Approve:
    auditor = str(world.person("auditor").person)
    granting.propose(world.use, by, auditor, Role.PUBLISHER)
    return lambda caller: granting.approve(world.use, caller, auditor)


def clearance(world: World, by: Caller) -> Approve:
    made = clearances.propose(
        world.use, by, "cedar-systems", "gpt-2", "research", expires_at=world.clock() + timedelta(days=1),
        purpose="Study.",
    )  # fmt: skip
    return lambda caller: clearances.approve(world.use, caller, made.id)


def move(world: World, by: Caller) -> Approve:
    made = proposing.propose(world.use, by, "gpt-2/774M", Proposal(StageState.PUBLIC, "No misuse.", "Misuse.", "Safe."))
    return lambda caller: deciding.approve(world.use, caller, made.id)


def lift(world: World, by: Caller) -> Approve:
    holds.place(world.use, world.admin, "gpt-2", "A finding.")
    lifting.propose(world.use, by, "gpt-2", "It was not reproduced.")
    return lambda caller: lifting.approve(world.use, caller, "gpt-2")


@pytest.mark.parametrize("propose", [quota, role, clearance, move, lift])
def test_nobody_approves_what_its_proposer_may_no_longer_propose(
    sqlite_world: World, propose: Callable[[World, Caller], Approve]
) -> None:
    """Disabled, or with another role, whatever was proposed; once they may again, it stands."""
    world = sqlite_world
    world.add_person("example-lab", CLEO, Role.ADMIN)
    approve = propose(world, world.person_of(CLEO))
    people.disable(world.use, world.admin, CLEO)
    disabled = refusal_of(approve, world.admin2)
    people.enable(world.use, world.admin, CLEO)
    world.give_role(CLEO, Role.AUDITOR)
    for told in (disabled, refusal_of(approve, world.admin2)):
        assert told.detail == f"{CLEO}, who proposed this, may no longer do so."
        assert "propose it again" in told.next_step
    world.give_role(CLEO, Role.ADMIN)
    approve(world.admin2)


def refusal_of(approve: Approve, caller: Caller) -> NotPossible:
    with pytest.raises(NotPossible) as refusal:
        approve(caller)
    return refusal.value
