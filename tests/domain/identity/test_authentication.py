"""Authentication: from where a token may be used, what a caller's standing rests on, and what is kept of a token.

What was read of a token serves the next requests that issue, and never once anything has changed.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text, update

from server import addresses
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import (
    InsufficientScope,
    InvalidCredentials,
    NetworkNotAllowed,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
)
from server.domain.identity import authentication, people, tokens
from server.domain.identity.tokens import Token
from server.domain.permissions import Role, Scope
from server.domain.release import holds
from server.log import authority
from tests.counting import counted
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


REFUSED = 403


def known(world: World, name: str = "cleared") -> Caller:
    """The caller by what is kept; read for it the first time."""
    caller, refused = authentication.identify(world.use, world.example.tokens[name], STRANGER, kept=True)
    assert refused is None
    return caller


@pytest.fixture
def caller(world: World) -> Caller:
    """Somebody who was known before, and has issued before."""
    issuing.issue(world.use, known(world), world.order())
    kept = known(world)
    assert kept.known_under is not None
    return kept


def run(world: World, statement: str) -> None:
    with world.use.database.transaction() as session:
        session.execute(text(statement))


def test_a_second_download_asks_the_database_once(world: World, caller: Caller) -> None:
    """The append alone: everything else is known, and the append finds that it still holds."""
    with counted(world.use.database) as statements:
        answer = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    assert answer.status_code == 201
    assert not [one for one in statements if "tokens" in one]
    assert world.records("download")[-1]["actor"]["person"] == caller.person


CHANGES: dict[str, tuple[str, type[Refused]]] = {
    "revoked": ("UPDATE tokens SET revoked_at = CURRENT_TIMESTAMP", InvalidCredentials),
    "expired": ("UPDATE tokens SET expires_at = '2020-01-01 00:00:00+00:00'", InvalidCredentials),
    "narrowed": ("UPDATE tokens SET scopes = 'log:read'", InsufficientScope),
    "disabled": ("UPDATE people SET disabled_at = CURRENT_TIMESTAMP", PersonDisabled),
    "suspended": ("UPDATE organizations SET suspended_at = CURRENT_TIMESTAMP", OrganizationSuspended),
    "taken over": ("UPDATE tokens SET organization_id = organization_id % 2 + 1", InvalidCredentials),
    "gone": ("UPDATE tokens SET public_id = 'other' || id", InvalidCredentials),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_between_the_look_and_the_append_is_seen(world: World, caller: Caller, what: str) -> None:
    """The kept caller was right when the request began; what was changed since refuses it, and nothing is logged."""
    statement, refusal = CHANGES[what]
    run(world, statement)
    downloads = len(world.entries("download"))
    with pytest.raises(refusal):
        issuing.issue(world.use, caller, world.order())
    assert len(world.entries("download")) == downloads


@pytest.mark.parametrize("what", CHANGES)
def test_the_next_request_is_refused_by_what_is_true(world: World, caller: Caller, what: str) -> None:
    """Through the door, which looks for the kept token first."""
    assert caller.known_under is not None
    run(world, CHANGES[what][0])
    answer = world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    assert answer.status_code in {401, REFUSED}
    assert world.refusals()[-1].code == answer.json["code"]


def test_the_entry_names_who_it_is_now(world: World, caller: Caller) -> None:
    """A new name of the organization and the person is in the entry, though the caller was known by the old ones."""
    world.tampered = True  # no act told of it
    run(world, "UPDATE organizations SET slug = slug || '-2'")
    run(world, "UPDATE people SET email = 'new-' || email")
    issuing.issue(world.use, caller, world.order())
    actor = world.records("download")[-1]["actor"]
    assert (actor["organization"], actor["person"]) == (f"{caller.organization}-2", f"new-{caller.person}")


def test_facts_of_another_generation_are_not_joined(world: World, caller: Caller) -> None:
    """A request that began before a change, and facts that another one has kept since: both are read."""
    world.tampered = True  # no act told of it
    run(world, "UPDATE organizations SET slug = slug || '-2'")
    fresh, _ = authentication.identify(world.use, world.example.tokens["cleared"], STRANGER)
    issuing.issue(world.use, fresh, world.order())
    issuing.issue(world.use, caller, world.order())
    assert [one["actor"]["organization"] for one in world.records("download")[-2:]] == [f"{caller.organization}-2"] * 2


def test_time_and_network_are_judged_at_each_request(
    world: World, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They change without any row."""
    token = world.example.tokens["cleared"]
    monkeypatch.setattr(addresses, "lies_in", lambda *_: False)
    run(world, "UPDATE tokens SET networks = '192.0.2.0/24'")
    for kept in (False, True):
        _, refused = authentication.identify(world.use, token, STRANGER, kept=kept)
        assert refused is not None
    monkeypatch.undo()
    run(world, "UPDATE tokens SET networks = ''")
    _, refused = authentication.identify(world.use, token, STRANGER)
    assert refused is None
    assert known(world).known_under is not None
    assert caller.token_expires_at is not None
    world.clock.offset += caller.token_expires_at - world.clock() + timedelta(seconds=1)
    _, refused = authentication.identify(world.use, token, STRANGER, kept=True)
    assert isinstance(refused, InvalidCredentials)


def test_another_secret_is_not_let_in_by_the_id(world: World, caller: Caller) -> None:
    """The id of a token is no secret."""
    assert caller.known_under is not None
    token = world.example.tokens["cleared"]
    _, refused = authentication.identify(world.use, world.example.tokens["uncleared"], STRANGER, kept=True)
    assert refused is None
    damaged: Callable[[str], str] = lambda text: text[:-1] + ("a" if text[-1] != "a" else "b")  # noqa: E731
    _, refused = authentication.identify(world.use, damaged(token), STRANGER, kept=True)
    assert isinstance(refused, InvalidCredentials)


def test_only_the_newest_few_thousand_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; who was put out is read again."""
    monkeypatch.setattr(authority, "KEPT_AT_MOST", 2)
    kept = authority.Kept[int]()
    for number in range(3):
        kept.put(world.use.database, number, number)
    assert [kept.find(world.use.database, number) for number in range(3)] == [None, 1, 2]
