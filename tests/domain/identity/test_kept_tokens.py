"""Kept tokens: what was read of a token serves the next requests that issue, and never once anything has changed."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from server import addresses
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.errors import InsufficientScope, InvalidCredentials, OrganizationSuspended, PersonDisabled, Refused
from server.domain.identity import authentication
from server.log import authority
from tests.counting import counted
from tests.world import STRANGER, World

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
