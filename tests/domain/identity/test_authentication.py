"""Authentication: from where a token may be used, what a caller's standing rests on, and what is kept of a token.

What was read of a token serves the next requests that issue, and never once anything has changed.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from server.domain.access import kept_facts
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import InvalidCredentials, NetworkNotAllowed, OrganizationSuspended, PersonDisabled
from server.domain.identity import authentication, people, token_uses, tokens
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


def known(world: World, name: str = "cleared") -> Caller:
    """The caller by what is kept; read for it the first time."""
    caller, refused = authentication.identify(world.use, world.example.tokens[name], STRANGER, kept=True)
    assert refused is None
    return caller


@pytest.fixture
def kept(world: World) -> Caller:
    """Somebody who was known before, and has issued before."""
    issuing.issue(world.use, known(world), world.order())
    caller = known(world)
    assert caller.is_kept
    return caller


def run(world: World, statement: str) -> None:
    with world.use.database.transaction() as session:
        session.execute(text(statement))


def ask(world: World, **more: Any) -> Any:
    return world.api("POST", "/downloads", **(more or {"json": {"stage": "gpt-2/774M"}}))


def test_a_second_download_asks_the_database_once(world: World, kept: Caller) -> None:
    """The append alone: everything else is known, and the append finds that it still holds."""
    with counted(world.use.database) as statements:
        assert ask(world).status_code == 201
    assert len({one for one in statements if "token_uses" not in one}) == 1  # SQLite tells it again for each trigger
    assert world.records("download")[-1]["actor"]["person"] == kept.person


CHANGES: dict[str, tuple[str, str]] = {
    "revoked": ("UPDATE tokens SET revoked_at = CURRENT_TIMESTAMP", "invalid_credentials"),
    "expired": ("UPDATE tokens SET expires_at = '2020-01-01 00:00:00+00:00'", "invalid_credentials"),
    "narrowed": ("UPDATE tokens SET scopes = 'log:read'", "insufficient_scope"),
    "disabled": ("UPDATE people SET disabled_at = CURRENT_TIMESTAMP", "person_disabled"),
    "suspended": ("UPDATE organizations SET suspended_at = CURRENT_TIMESTAMP", "organization_suspended"),
    "gone": ("UPDATE tokens SET public_id = 'other' || id", "invalid_credentials"),
    "another secret": ("UPDATE tokens SET secret_sha256 = commitment FROM log_entries", "invalid_credentials"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_between_the_look_and_the_append_is_seen(world: World, kept: Caller, what: str) -> None:
    """The kept caller was right when the request began; what has changed since is read, and nothing is logged."""
    run(world, CHANGES[what][0])
    downloads = len(world.entries("download"))
    with pytest.raises(authority.Changed):
        issuing.issue(world.use, kept, world.order())
    assert len(world.entries("download")) == downloads


ORDERS: list[dict[str, Any]] = [
    {"json": {"stage": 7}}, {"json": {"stage": "gpt-2/774M", "paths": ["a", "a"]}}, {"data": "x"},
    {"json": {"stage": "gpt-2/774M"}, "headers": {"Accept": "text/html"}}, {},
]  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_refusal_is_never_given_by_what_is_kept(world: World, kept: Caller, what: str) -> None:
    """Whatever is wrong with the request as well; and it is no use of the token."""
    run(world, CHANGES[what][0])
    run(world, "DELETE FROM token_uses")
    token_uses._noted.clear()
    for order in ORDERS:
        answer = ask(world, **order)
        answer.close()
        assert (answer.status_code in {401, 403}, answer.json["code"]) == (True, CHANGES[what][1]), order
    assert {refusal.code for refusal in world.refusals()} <= {CHANGES[what][1]}
    with world.use.database.reading() as session:
        used = session.execute(text("SELECT token_id FROM token_uses")).all()
    assert (used != []) == (what == "narrowed"), kept.token_id  # it works, for something else


def test_what_is_kept_does_not_outlast_a_no(world: World, kept: Caller) -> None:
    """Narrowed, and widened again: it is let in at once."""
    scopes = " ".join(sorted(kept.scopes))
    run(world, "UPDATE tokens SET scopes = 'log:read'")
    assert ask(world).status_code == 403
    run(world, f"UPDATE tokens SET scopes = '{scopes}'")  # noqa: S608  # words of our own
    assert ask(world).status_code == 201


def test_a_token_that_moved_is_its_new_organization_s(world: World, kept: Caller) -> None:
    """No sentence about the old one: it is read as it is."""
    run(world, "UPDATE tokens SET organization_id = organization_id % 2 + 1")
    world.tampered = True  # no act told of it
    ask(world)
    fresh, _ = authentication.identify(world.use, world.example.tokens["cleared"], STRANGER)
    assert fresh.organization_id != kept.organization_id
    assert {one.organization_id for one in world.refusals()} <= {fresh.organization_id}


def test_the_entry_names_who_it_is_now(world: World, kept: Caller) -> None:
    """A new name of the organization and the person is in the entry, though the caller was known by the old ones."""
    world.tampered = True  # no act told of it
    run(world, "UPDATE organizations SET slug = slug || '-2'")
    run(world, "UPDATE people SET email = 'new-' || email")
    assert ask(world).status_code == 201
    actor = world.records("download")[-1]["actor"]
    assert (actor["organization"], actor["person"]) == (f"{kept.organization}-2", f"new-{kept.person}")


@pytest.mark.parametrize("is_kept", [True, False])
def test_facts_of_another_generation_are_not_joined(world: World, kept: Caller, is_kept: bool) -> None:
    """A request that began before a change, and facts that another one has kept since."""
    run(world, "UPDATE everything SET held_at = NULL")
    fresh, _ = authentication.identify(world.use, world.example.tokens["cleared"], STRANGER)
    issuing.issue(world.use, fresh, world.order())
    before = replace(kept, is_kept=is_kept)
    assert kept_facts.expect(world.use, fresh, "gpt-2/774M", "main", None) is not None
    assert kept_facts.expect(world.use, before, "gpt-2/774M", "main", None) is None


def test_time_and_network_are_judged_at_each_request(world: World, kept: Caller) -> None:
    """They change without any row."""
    token = world.example.tokens["cleared"]
    run(world, "UPDATE tokens SET networks = '192.0.2.0/24'")
    inside, outside = (replace(STRANGER, address=address) for address in ("192.0.2.9", "198.51.100.1"))
    assert authentication.identify(world.use, token, inside)[1] is None
    caller, refused = authentication.identify(world.use, token, inside, kept=True)
    assert (caller.is_kept, refused) == (True, None)
    assert isinstance(authentication.identify(world.use, token, outside, kept=True)[1], NetworkNotAllowed)
    assert kept.token_expires_at is not None
    world.clock.offset += kept.token_expires_at - world.clock() + timedelta(seconds=1)
    assert isinstance(authentication.identify(world.use, token, inside, kept=True)[1], InvalidCredentials)


def test_another_secret_is_not_let_in_by_the_id(world: World, kept: Caller) -> None:
    """The id of a token is no secret, and its check digits are no proof."""
    forged = tokens.render(kept.token_public_id or "", bytes(32))
    assert tokens.public_id_of(forged) == kept.token_public_id
    _, refused = authentication.identify(world.use, forged, STRANGER, kept=True)
    assert isinstance(refused, InvalidCredentials)


def test_only_the_newest_few_thousand_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; who was put out is read again. What is put again is the newest."""
    monkeypatch.setattr(authority, "KEPT_AT_MOST", 2)
    values = authority.Kept[int]()
    for number in (0, 1, 0, 2):
        values.put(world.use.database, number, number)
    assert [values.find(world.use.database, number) for number in range(3)] == [0, None, 2]


def test_many_threads_keep_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them breaks another one's look at what is oldest."""
    monkeypatch.setattr(authority, "KEPT_AT_MOST", 8)
    values, before = authority.Kept[int](), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(values.put, world.use.database, number, number) for number in range(20_000)]
        assert {each.exception() for each in done} == {None}
    finally:
        sys.setswitchinterval(before)


def test_only_views_that_issue_take_kept_callers(sqlite_world: World) -> None:
    """Another one would act on rights that nobody has checked."""
    views = sqlite_world.client.application.view_functions
    issuing = {name for name, view in views.items() if getattr(view, "issues", False)}
    assert issuing == {"downloads.create", "hub_resolve.fetch"}
