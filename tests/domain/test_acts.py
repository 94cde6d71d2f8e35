"""Acts: whoever lost a right while they acted does not act, so the log never says that they did."""

import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import update

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
from server.domain.identity import authentication, people, tokens
from server.domain.identity.tokens import Token
from server.domain.permissions import Role, Scope
from server.domain.release import finding_attachments, holds
from tests.attached import TABLE, announced, sent
from tests.findings import report
from tests.world import STRANGER, World

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


def revoke(world: World, public_id: str) -> None:
    tokens.revoke(world.use, world.admin, public_id)


def take_over(world: World, public_id: str) -> None:
    tokens.take_over(world.use, world.person("cleared"), public_id)


def expire(world: World, _: str) -> None:
    world.clock.advance(timedelta(days=2))


def narrow(world: World, public_id: str) -> None:
    """As whoever owns the database can."""
    with world.use.database.transaction() as session:
        session.execute(update(Token).where(Token.public_id == public_id).values(scopes=str(Scope.STAGES_READ)))


@pytest.mark.parametrize("happens", [revoke, take_over, expire, narrow])
def test_a_token_that_stops_working_meanwhile_does_not_act(world: World, happens: Callable[[World, str], None]) -> None:
    """A file that was sent with it becomes no part of a finding, and nothing is issued; else the log had a fault."""
    world.add_person("aurora-institute", "second@aurora-institute.example", Role.MEMBER)
    maker = world.person_of("second@aurora-institute.example")
    made = tokens.create(world.use, maker, "CI", [Scope.FINDINGS_CREATE, Scope.DOWNLOADS_CREATE], timedelta(days=1))
    caller, _ = authentication.identify(world.use, made.text, STRANGER)
    finding = report(world)
    slot = announced(world, finding, "counts.csv", TABLE)
    assert sent(slot, TABLE) == 200
    happens(world, made.token.public_id)
    with pytest.raises(InvalidCredentials):
        finding_attachments.complete(world.use, caller, finding, slot.attachment.id)
    with pytest.raises(InvalidCredentials):
        issuing.issue(world.use, caller, world.order())
    assert (world.entries("finding.attach"), world.signed_urls) == ([], [])


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
                    with suppress(NotPossible):  # they proposed it, and then lost the role
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
