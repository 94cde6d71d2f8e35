"""Granting: a role of the lab is proposed by one admin and given by another who is not the first one again."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import select

from server.domain.accounts import granting
from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.errors import NotPermitted, NotPossible, Refused
from server.domain.identity import people, role_grants
from server.domain.identity.people import Person
from server.domain.identity.role_grants import RoleGrant
from server.domain.mail.mails import Mail
from server.domain.permissions import Permission, Role
from tests.faults.rounds import in_rounds
from tests.world import World, cases

LAB, CLEO, DAN = "example-lab", "cleo@example-lab.example", "dan@example-lab.example"
PASSWORD = "a long enough password"


def add(world: World, email: str = CLEO, role: Role = Role.ADMIN, by: Caller | None = None) -> Caller:
    """Somebody whose role waits."""
    granting.add(world.use, by or world.admin, LAB, email, "Cleo", role, PASSWORD)
    return world.person_of(email)


def role_of(world: World, email: str) -> str:
    return str(world.person_of(email).role)


def test_whoever_is_added_to_the_lab_waits_for_a_second_admin(world: World) -> None:
    """They have no permission but their own account's; then they have the role, and a mail says so."""
    cleo = add(world)
    assert cleo.role is Role.PENDING
    assert [permission for permission in Permission if cleo.may(permission)] == [Permission.ACCOUNT_MANAGE]
    with world.use.database.reading() as session:
        told = session.scalars(select(Mail).where(Mail.kind == "role_waits", Mail.subject.contains(CLEO))).all()
    assert [mail.recipient for mail in told] == [world.admin2.person]
    granting.approve(world.use, world.admin2, CLEO)
    assert role_of(world, CLEO) == Role.ADMIN
    record = world.records("role.grant")[-1]
    assert (record["actor"]["person"], record["proposed_by"]) == (world.admin2.person, world.admin.person)
    assert (record["before"], record["role"]) == ("pending", "admin")


@cases("role", [Role.ADMIN, Role.PUBLISHER, Role.AUDITOR])
def test_its_proposer_approves_no_role(world: World, role: Role) -> None:
    """The refusal says who can."""
    add(world, role=role)
    with pytest.raises(NotPossible) as refusal:
        granting.approve(world.use, world.admin, CLEO)
    assert refusal.value.next_step == f"Ask {world.admin2.person} to approve it."
    assert role_of(world, CLEO) == Role.PENDING


def test_an_admin_by_two_can_approve_what_either_of_them_proposes(world: World) -> None:
    """That is what it is to hold a role that two people gave."""
    add(world)
    granting.approve(world.use, world.admin2, CLEO)
    for proposer, email in ((world.admin, DAN), (world.admin2, "eve@example-lab.example")):
        add(world, email, by=proposer)
        granting.approve(world.use, world.person_of(CLEO), email)
        assert role_of(world, email) == Role.ADMIN


def test_somebody_who_waits_approves_and_proposes_nothing(world: World) -> None:
    """Neither their own role nor another's."""
    cleo = add(world)
    add(world, DAN)
    for email in (CLEO, DAN):
        with pytest.raises(NotPermitted):
            granting.approve(world.use, cleo, email)
    with pytest.raises(NotPermitted):
        granting.propose(world.use, cleo, str(world.person("publisher").person), Role.ADMIN)


def test_a_changed_role_waits_too_and_the_old_one_stays(world: World) -> None:
    """Up and down alike; nobody proposes or approves for themselves."""
    publisher = str(world.person("publisher").person)
    granting.propose(world.use, world.admin, publisher, Role.ADMIN)
    assert role_of(world, publisher) == Role.PUBLISHER
    with pytest.raises(NotPossible):
        granting.propose(world.use, world.admin2, publisher, Role.AUDITOR)  # one at a time
    granting.approve(world.use, world.admin2, publisher)
    assert role_of(world, publisher) == Role.ADMIN
    with pytest.raises(NotPossible):
        granting.propose(world.use, world.person_of(publisher), publisher, Role.AUDITOR)
    granting.propose(world.use, world.admin, publisher, Role.AUDITOR)
    with pytest.raises(NotPossible):
        granting.approve(world.use, world.person_of(publisher), publisher)


def test_what_is_rejected_or_withdrawn_gives_nothing(world: World) -> None:
    """The log tells the two apart, and another proposal can follow."""
    add(world)
    granting.reject(world.use, world.admin2, CLEO)
    granting.propose(world.use, world.admin2, CLEO, Role.AUDITOR)
    granting.reject(world.use, world.admin2, CLEO)
    assert (len(world.entries("role.reject")), len(world.entries("role.withdraw"))) == (1, 1)
    for by in (world.admin, world.admin2):
        with pytest.raises(NotPossible):
            granting.approve(world.use, by, CLEO)
    assert role_of(world, CLEO) == Role.PENDING


def test_a_proposal_of_somebody_who_is_no_admin_any_more_is_worth_nothing(world: World) -> None:
    """Nor is anybody who is disabled given a role."""
    add(world)
    granting.approve(world.use, world.admin2, CLEO)
    cleo = world.person_of(CLEO)
    add(world, DAN, by=cleo)
    people.disable(world.use, world.admin, CLEO)
    with pytest.raises(NotPossible, match="may no longer do so"):
        granting.approve(world.use, world.admin, DAN)
    people.enable(world.use, world.admin, CLEO)
    people.disable(world.use, world.admin, DAN)
    with pytest.raises(NotPossible, match="is disabled"):
        granting.approve(world.use, world.admin, DAN)


def test_the_last_two_admins_are_not_made_less_by_two_either(world: World) -> None:
    """Nobody could approve anything any more."""
    add(world)
    granting.approve(world.use, world.admin2, CLEO)
    granting.propose(world.use, world.admin, CLEO, Role.AUDITOR)
    granting.approve(world.use, world.admin2, CLEO)
    add(world, DAN)
    granting.approve(world.use, world.admin2, DAN)
    people.disable(world.use, world.admin, DAN)
    granting.propose(world.use, world.admin, str(world.admin2.person), Role.AUDITOR)
    with pytest.raises(NotPossible):
        granting.approve(world.use, world.admin2, str(world.admin2.person))


def test_a_role_given_anew_by_two_counts_again(world: World) -> None:
    """After a reset by one of them: the other says that the account is its person's."""
    add(world)
    granting.approve(world.use, world.admin2, CLEO)
    people.reset_password(world.use, world.admin, CLEO)
    add(world, DAN)
    with pytest.raises(NotPossible, match="could act in that name"):
        granting.approve(world.use, world.person_of(CLEO), DAN)
    granting.propose(world.use, world.admin, CLEO, Role.ADMIN)
    granting.approve(world.use, world.admin2, CLEO)
    with pytest.raises(NotPossible, match="already has the role"):
        granting.propose(world.use, world.admin, CLEO, Role.ADMIN)
    granting.approve(world.use, world.person_of(CLEO), DAN)
    assert role_of(world, DAN) == Role.ADMIN


def test_an_admin_is_restored_on_the_host_only_where_nobody_else_is_left(world: World) -> None:
    """By another admin, with a reason; each verification of the log repeats it, and it is no fault."""
    lost = str(world.admin2.person)
    add(world)
    with pytest.raises(NotPossible, match="can still approve"):
        granting.restore(world.use, world.admin, CLEO, "Ben has left.")
    people.reset_password(world.use, world.admin, lost)  # from now on nobody can approve what the first one proposes
    with pytest.raises(NotPermitted):
        granting.restore(world.use, replace(world.admin, via="session"), CLEO, "Ben has left.")
    with pytest.raises(NotPermitted):
        granting.restore(world.use, world.admin, str(world.admin.person), "Me again.")
    granting.restore(world.use, world.admin, CLEO, "Ben has left.")
    assert role_of(world, CLEO) == Role.ADMIN
    granting.reject(world.use, world.admin, CLEO)  # what waited
    world.seal()
    (result,) = verifying.verify(world.use, tables=True)
    assert result.faults == []
    assert f"{CLEO} was made an admin on the host by {world.admin.person} alone: Ben has left." in result.notes


@in_rounds
def test_of_many_who_approve_at_once_one_does(world: World, rounds: int) -> None:
    """Many roles, each approved by two admins at the same moment: one grant and one entry each."""
    world.add_person(LAB, CLEO, Role.ADMIN)
    by = world.admin2, world.person_of(CLEO)
    publisher = str(world.person("publisher").person)
    with ThreadPoolExecutor(2) as both:
        for number in range(rounds):
            granting.propose(world.use, world.admin, publisher, (Role.AUDITOR, Role.PUBLISHER)[number % 2])
            before = len(world.entries("role.grant"))

            def approve(caller: Caller) -> bool:
                with suppress(Refused):
                    granting.approve(world.use, caller, publisher)
                    return True
                return False

            assert sorted(both.map(approve, by)) == [False, True]
            assert len(world.entries("role.grant")) == before + 1
            world.keep_sealed()
    with world.use.database.reading() as session:
        person = session.scalars(select(Person).where(Person.email == publisher)).one()
        assert role_grants.standing(session, person) is not None
        assert role_grants.open_of(session, person) is None
        assert len(session.scalars(select(RoleGrant).where(RoleGrant.person_id == person.id)).all()) == rounds + 1
