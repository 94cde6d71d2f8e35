"""Authentication: from where a token may be used, and what a caller's standing rests on."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from server.domain.callers import Caller
from server.domain.errors import InvalidCredentials, NetworkNotAllowed, OrganizationSuspended, PersonDisabled
from server.domain.identity import authentication, people, tokens
from server.domain.identity.tokens import Token
from server.domain.permissions import Role, Scope
from server.domain.release import holds
from tests.world import STRANGER, World

NETWORKS = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8:1::/48"]


def made(world: World, networks: list[str]) -> str:
    caller = world.person("cleared")
    lifetime = timedelta(days=1)
    return tokens.create(world.use, caller, "of a test", [Scope.STAGES_READ], lifetime, networks).text


ADDRESSES: list[tuple[str | None, bool]] = [
    ("192.0.2.0", True), ("192.0.2.255", True), ("192.0.3.0", False), ("192.0.1.255", False),
    ("198.51.100.7", True), ("198.51.100.8", False),
    ("2001:db8:1::", True), ("2001:db8:1:ffff:ffff:ffff:ffff:ffff", True), ("2001:db8:2::", False),
    ("::ffff:192.0.2.9", True), ("::ffff:c000:0209", True), ("::ffff:192.0.3.9", False), ("::192.0.2.9", False),
    ("2001:DB8:1::A", True), ("::1", False), ("127.0.0.1", False),
    ("", False), (None, False), ("192.0.2", False), ("192.0.2.1 ", False), ("192.0.2.1, 10.0.0.1", False),
    ("localhost", False), ("192.0.2.1/32", False), ("0xc0.0.2.1", False),
]  # fmt: skip


def test_a_token_with_networks_works_from_there_only(sqlite_world: World) -> None:
    """IPv4, IPv6 and IPv4 inside IPv6; an address that cannot be read is in no network."""
    world = sqlite_world
    text = made(world, NETWORKS)
    for address, may in ADDRESSES:
        caller, refused = authentication.identify(world.use, text, replace(STRANGER, address=address))
        assert isinstance(refused, NetworkNotAllowed) is not may, address
        assert caller.person == world.example.people["cleared"]["email"]


@pytest.mark.parametrize("kept", ["::ffff:192.0.2.0/120", "2001:db8::/32 ::ffff:192.0.2.9%eth0/128"])
def test_a_token_s_networks_of_before_are_found(world: World, kept: str) -> None:
    """A row that holds IPv4 in IPv6's clothes lets its addresses in, and no other ones."""
    text = made(world, ["192.0.2.0/24"])
    world.tampered = True
    with world.use.database.transaction() as session:
        of_it = Token.public_id == tokens.public_id_of(text)
        session.execute(update(Token).where(of_it).values(networks=kept))
    for address, may in (("192.0.2.9", True), ("192.0.3.9", False)):
        _, refused = authentication.identify(world.use, text, replace(STRANGER, address=address))
        assert isinstance(refused, NetworkNotAllowed) is not may, address


def test_a_token_without_networks_works_from_anywhere(sqlite_world: World) -> None:
    """Networks are optional."""
    text = made(sqlite_world, [])
    for address in ("203.0.113.1", "2001:db8::1", None, "unreadable"):
        assert authentication.identify(sqlite_world.use, text, replace(STRANGER, address=address))[1] is None


def test_a_token_gives_its_caller_everything_that_is_known_of_them(world: World) -> None:
    """Who, of which organization, in which role, for which scopes; and from where, as the door said."""
    caller, refused = authentication.identify(world.use, world.example.tokens["auditor"], STRANGER)
    assert refused is None
    assert caller == Caller(
        via="token", organization_id=caller.organization_id, organization="example-lab", person_id=caller.person_id,
        person="auditor@example-lab.example", role=Role.AUDITOR, token_id=caller.token_id,
        token_public_id=tokens.public_id_of(world.example.tokens["auditor"]),
        token_expires_at=caller.token_expires_at,
        scopes=frozenset({Scope.STAGES_READ, Scope.LOG_READ, Scope.FINDINGS_READ}),
        address="127.0.0.1", user_agent="tests", request_id="0" * 16,
    )  # fmt: skip
    assert caller.is_staff
    with world.use.database.reading() as session:
        assert caller.token_expires_at == tokens.of_caller(session, caller).expires_at


def test_a_refused_token_still_says_whose_it_is(world: World) -> None:
    """A refusal is recorded with whom it was given to; an unknown token is nobody's."""
    caller, refused = authentication.identify(world.use, world.example.tokens["expired"], STRANGER)
    assert isinstance(refused, InvalidCredentials)
    assert caller.organization == "aurora-institute"


def test_suspension_comes_before_disabling_and_both_pass(world: World) -> None:
    """Row 2: a resumed organization's tokens and an enabled person's command line work again."""
    email = world.example.people["cleared"]["email"]
    people.add(world.use, world.admin, "aurora-institute", "b@aurora-institute.example", "B", Role.OWNER)
    person = world.person("cleared")
    holds.place(world.use, world.admin, "organization:aurora-institute", "For a test.")
    people.disable(world.use, world.admin, email)
    expected = [OrganizationSuspended, PersonDisabled, type(None)]
    seen = [standing(world, person)]
    world.lift("organization:aurora-institute")
    seen.append(standing(world, person))
    people.enable(world.use, world.admin, email)
    seen.append(standing(world, person))
    assert seen == expected


def standing(world: World, caller: Caller) -> type:
    with world.use.database.reading() as session:
        rows = authentication.standing(session, caller, lock=False)
        return type(authentication.fault(rows, caller, world.clock()))


def test_a_caller_whose_rows_are_gone_is_nobody(world: World) -> None:
    """What cannot be looked up again is refused."""
    for caller in (
        replace(world.admin, person_id=10**6),
        replace(world.caller("cleared"), token_id=10**6),
        Caller(via="session", organization_id=1),
    ):
        assert standing(world, caller) is InvalidCredentials
