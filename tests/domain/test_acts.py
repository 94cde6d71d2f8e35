"""Acts: whoever lost a right while they acted does not act, so the log never says that they did."""

import itertools
import threading
from contextlib import suppress

import pytest

from server.domain.access import clearances
from server.domain.callers import Caller
from server.domain.decisions import lifting
from server.domain.downloads import issuing
from server.domain.errors import (
    InvalidCredentials,
    NotPermitted,
    NotPossible,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
)
from server.domain.identity import people
from server.domain.permissions import Role
from server.domain.release import holds
from tests.world import World

EMAIL = "third@lab.example"
ROUNDS = 30


@pytest.fixture
def third(world: World) -> Caller:
    """A third admin, as they were when their request came in."""
    world.add_person(str(world.admin.organization), EMAIL, Role.ADMIN)
    return world.person_of(EMAIL)


def test_a_role_that_was_taken_away_meanwhile_does_not_act(world: World, third: Caller) -> None:
    """The caller was an admin when they were identified; the act is refused, and nothing of it is stored."""
    world.give_role(EMAIL, Role.AUDITOR)
    with pytest.raises(NotPermitted, match="no longer includes"):
        holds.place(world.use, third, "gpt-2", "I was an admin a moment ago.")
    assert world.entries("hold.place") == []
    with world.use.database.reading() as session:
        assert holds.current(session, world.admin) == []


def test_somebody_who_was_disabled_meanwhile_does_not_act(world: World, third: Caller) -> None:
    """As with the role."""
    people.disable(world.use, world.admin, EMAIL)
    with pytest.raises(PersonDisabled):
        clearances.revoke(world.use, third, 1)


def test_people_of_a_partner_that_was_suspended_meanwhile_do_not_act(world: World) -> None:
    """Its owner may not even disable a person any more."""
    owner, email = world.person("cleared"), "second@aurora-institute.example"
    people.add(world.use, owner, "aurora-institute", email, "Second", Role.MEMBER, "a long enough password")
    holds.place(world.use, world.admin, "organization:aurora-institute", "Asked to.")
    with pytest.raises(OrganizationSuspended):
        people.disable(world.use, owner, email)


def test_a_download_under_a_role_that_is_gone_is_refused(world: World) -> None:
    """A publisher who became an auditor while the request was under way gets no URL."""
    publisher = world.person("publisher")
    world.give_role(str(publisher.person), Role.AUDITOR)
    with pytest.raises(InvalidCredentials, match="role was changed"):
        issuing.issue(world.use, publisher, world.order("gpt-2/124M"))
    assert world.signed_urls == []


def test_acts_race_with_the_role_that_they_need(world: World, third: Caller) -> None:
    """One places and lifts holds while another takes the role away and gives it back: the log allows each act."""
    ended = threading.Event()
    acted: list[int] = []
    refused: list[int] = []

    def act() -> None:
        for number in itertools.count():
            if ended.is_set():
                return
            try:
                if number % 2:
                    lifting.propose(world.use, third, "mini-gpt", "A race.")
                    lifting.approve(world.use, world.admin, "mini-gpt")
                else:
                    holds.place(world.use, third, "mini-gpt", "A race.")
                acted.append(number)
            except NotPermitted:
                refused.append(number)
            except NotPossible:  # it is placed, or lifted, already
                continue

    thread = threading.Thread(target=act)
    thread.start()
    try:
        for _ in range(ROUNDS):
            world.give_role(EMAIL, Role.AUDITOR)
            world.give_role(EMAIL, Role.ADMIN)
            world.keep_sealed()
    finally:
        ended.set()
        thread.join(20)
    with suppress(Refused):
        world.lift("mini-gpt")
    assert acted
    assert refused
    world.seal()
    assert world.faults() == []
