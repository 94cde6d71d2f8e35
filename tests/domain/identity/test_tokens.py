"""Tokens: their form, whom they act for, how long, and every way in which they end."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.domain.callers import Caller
from server.domain.errors import (
    InsufficientScope,
    InvalidCredentials,
    InvalidRequest,
    NotFound,
    NotPermitted,
    NotPossible,
    Refused,
)
from server.domain.identity import authentication, people, tokens
from server.domain.identity.tokens import NewToken
from server.domain.paging import Slice
from server.domain.permissions import Role, Scope
from server.domain.resources import Resources
from tests.world import STRANGER, World, cases

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tokens.json").read_text(encoding="utf-8"))["cases"]
TOKEN = VECTORS[0]["token"]
NO_RESOURCES = cast(Resources, object())  # whatever asks it for a database fails the test
READ = [Scope.STAGES_READ]
DAY = timedelta(days=1)


@pytest.mark.parametrize("case", VECTORS)
def test_the_format_is_the_one_that_scanners_know(case: dict[str, str]) -> None:
    """Known answers: id and secret give this very text, and the text gives the id and its hash back."""
    assert tokens.render(case["public_id"], bytes.fromhex(case["secret_hex"])) == case["token"]
    assert len(case["token"]) == 66
    assert tokens.public_id_of(case["token"]) == case["public_id"]
    assert tokens.matches(bytes.fromhex(case["sha256"]), case["token"])


@given(
    public_id=st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12),
    secret=st.binary(min_size=32, max_size=32),
)  # fmt: skip
def test_every_id_and_secret_make_a_token_of_66_characters_that_is_read_back(public_id: str, secret: bytes) -> None:
    """No secret is too big or too small for the form."""
    text = tokens.render(public_id, secret)
    assert (len(text), tokens.public_id_of(text)) == (66, public_id)


@pytest.mark.parametrize("case", VECTORS)
def test_the_hub_s_spelling_is_one_that_its_programs_send(case: dict[str, str]) -> None:
    """llama.cpp sends `hf_` and 34 letters or more, and nothing else; read back, it is the token."""
    spelled = tokens.for_hub(case["token"])
    assert re.fullmatch("hf_[A-Za-z0-9]{34,253}", spelled)
    assert len(spelled) == 64
    assert tokens.from_hub(spelled) == case["token"]
    assert tokens.from_hub(case["token"]) == case["token"]
    assert tokens.public_id_of(spelled) is None


@pytest.mark.parametrize("text", ["hf_" + "a" * 60, "HF_" + "a" * 61, "hf_" + "ä" * 61, "hf_" + "_" * 61, "hf_", ""])
def test_what_is_spelled_otherwise_stays_as_it_is(text: str) -> None:
    """Only what has the length and the letters could be a token of ours."""
    assert tokens.from_hub(text) == text


def altered(text: str) -> list[str]:
    return [text[:place] + ("1" if text[place] != "1" else "2") + text[place + 1 :] for place in range(len(text))]


NOISE = [
    "",
    "wgk_",
    "Bearer",
    TOKEN[:-1],
    TOKEN + "0",
    TOKEN + "\n",
    " " + TOKEN,
    TOKEN.lower(),
    "wgk_" + "é" * 62,
    "\0" * 66,
]


@pytest.mark.parametrize("text", [*altered(TOKEN), *NOISE])
def test_what_is_no_token_costs_no_query(text: str) -> None:
    """One wrong character is found by the checksum, without the database."""
    caller, refused = authentication.identify(NO_RESOURCES, text, STRANGER)
    assert caller is STRANGER
    assert isinstance(refused, InvalidCredentials)
    tokens.revoke_leaked(NO_RESOURCES, STRANGER, text)


def test_hashes_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is hmac's: how long it takes tells nothing of how much was right."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return False

    monkeypatch.setattr("server.domain.identity.tokens.hmac.compare_digest", compare)
    assert not tokens.matches(bytes(32), TOKEN)
    assert len(compared) == 1


def create(world: World, of: str = "cleared", **more: Any) -> NewToken:
    known: dict[str, Any] = {"name": "of a test", "scopes": READ, "lifetime": DAY}
    return tokens.create(world.use, world.person(of), **(known | more))


def works(world: World, text: str) -> bool:
    """Whether the token identifies a caller now."""
    return authentication.identify(world.use, text, STRANGER)[1] is None


def test_only_the_hash_of_a_token_is_kept(world: World) -> None:
    """A copy of the database opens nothing: the secret is in no row of it."""
    made = create(world)
    with world.use.database.reading() as session:
        row = session.get_one(tokens.Token, made.token.id)
        assert tokens.matches(row.secret_sha256, made.text)
        kept = {str(value) for value in vars(row).values()}
    assert not any(made.text[-49:] in value for value in kept)
    assert works(world, made.text)


def test_a_known_id_with_another_secret_is_unknown(world: World) -> None:
    """The id alone is public; only the whole text identifies."""
    made = create(world)
    forged = tokens.render(made.token.public_id, bytes(32))
    caller, refused = authentication.identify(world.use, forged, STRANGER)
    assert (caller, type(refused)) == (STRANGER, InvalidCredentials)
    unknown = authentication.identify(world.use, TOKEN, STRANGER)[1]
    assert unknown is not None
    assert refused is not None
    assert refused.detail == unknown.detail


FINDINGS = (Scope.FINDINGS_CREATE, Scope.FINDINGS_READ)
ALLOWED = {
    Role.OWNER: {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE, Scope.LOG_READ, *FINDINGS},
    Role.MEMBER: {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE, Scope.LOG_READ, *FINDINGS},
    Role.ADMIN: {
        Scope.STAGES_READ,
        Scope.DOWNLOADS_CREATE,
        Scope.LOG_READ,
        Scope.CHECKPOINTS_PUBLISH,
        *FINDINGS,
    },
    Role.PUBLISHER: {
        Scope.STAGES_READ,
        Scope.DOWNLOADS_CREATE,
        Scope.LOG_READ,
        Scope.CHECKPOINTS_PUBLISH,
        *FINDINGS,
    },
    Role.AUDITOR: {Scope.STAGES_READ, Scope.LOG_READ, Scope.FINDINGS_READ},
}


def test_who_waits_for_a_role_makes_no_token(sqlite_world: World) -> None:
    """Every other role stands in the table above."""
    assert set(Role) - set(ALLOWED) == {Role.PENDING}
    waiting = replace(sqlite_world.person("auditor"), role=Role.PENDING)
    with pytest.raises(NotPermitted):
        tokens.create(sqlite_world.use, waiting, "x", [Scope.STAGES_READ], timedelta(days=1))


@pytest.mark.parametrize("role", ALLOWED)
def test_a_token_gets_only_scopes_that_its_maker_s_role_has_a_use_for(sqlite_world: World, role: Role) -> None:
    """A partner makes no token for publishing, an auditor none for downloading."""
    world = sqlite_world
    name = {Role.OWNER: "cleared", Role.MEMBER: "member"}.get(role, role.value)
    add_member(world)
    for scope in Scope:
        if scope in ALLOWED[role]:
            assert create(world, name, scopes=[scope]).token.scopes == scope
        else:
            with pytest.raises(InvalidRequest):
                create(world, name, scopes=[scope, Scope.STAGES_READ])


def add_member(world: World, name: str = "member", organization: str = "aurora-institute") -> None:
    email = f"{name}@{organization}.example"
    world.add_person(organization, email, Role.MEMBER)
    world.example.people[name] = {"email": email}


REFUSED: list[dict[str, Any]] = [
    {"name": ""}, {"name": "  "}, {"name": "x" * 101},
    {"scopes": []},
    {"lifetime": timedelta(0)}, {"lifetime": -DAY}, {"lifetime": 90 * DAY + timedelta(microseconds=1)},
    {"networks": ["192.0.2.1/24"]}, {"networks": ["fe80::1%lo"]}, {"networks": ["everywhere"]}, {"networks": [""]},
    {"networks": ["2001:db8::/32"] * 80},
]  # fmt: skip


def test_a_token_that_makes_no_sense_is_refused(sqlite_world: World) -> None:
    """Nameless, scopeless, endless or with a network that is none."""
    for bad in REFUSED:
        with pytest.raises(InvalidRequest):
            create(sqlite_world, **bad)


def test_a_token_lives_as_long_as_was_asked_and_at_most_as_the_settings_say(world: World) -> None:
    """90 days are allowed; the token works before its end, and not from then on."""
    made = create(world, lifetime=90 * DAY)
    end = made.token.expires_at
    assert end - made.token.created_at == 90 * DAY
    world.use.clock = lambda: end - timedelta(microseconds=1)
    assert works(world, made.text)
    world.use.clock = lambda: end
    assert not works(world, made.text)


@cases("act", ["create", "rotate", "revoke", "take_over"])
def test_no_token_makes_or_ends_tokens(world: World, act: str) -> None:
    """Who holds a token holds that token, and can neither multiply it nor shut others out."""
    caller = world.caller("cleared")
    acts: dict[str, Callable[[], Any]] = {
        "create": lambda: tokens.create(world.use, caller, "another", READ, DAY),
        "rotate": lambda: tokens.rotate(world.use, caller, caller.token_public_id or ""),
        "revoke": lambda: tokens.revoke(world.use, caller, caller.token_public_id or ""),
        "take_over": lambda: tokens.take_over(world.use, caller, caller.token_public_id or ""),
    }
    with pytest.raises(InsufficientScope):
        acts[act]()


def test_rotation_overlaps_for_a_day(world: World) -> None:
    """The successor is like the old token and lives as long; the old one works for 24 hours more."""
    old = create(world, lifetime=30 * DAY, networks=["127.0.0.0/8", "2001:db8::/32"])
    world.clock.advance(10 * DAY)
    new = tokens.rotate(world.use, world.person("cleared"), old.token.public_id)
    assert new.text != old.text
    assert new.token.expires_at - new.token.created_at == 30 * DAY
    assert [new.token.scopes, new.token.networks, new.token.name] == [
        old.token.scopes, old.token.networks, old.token.name,
    ]  # fmt: skip
    world.clock.advance(DAY - timedelta(minutes=1))
    assert (works(world, old.text), works(world, new.text)) == (True, True)
    world.clock.advance(timedelta(minutes=2))
    assert (works(world, old.text), works(world, new.text)) == (False, True)


def test_rotation_never_makes_the_old_token_live_longer(world: World) -> None:
    """A token with an hour left has an hour left."""
    old = create(world, lifetime=timedelta(hours=1))
    tokens.rotate(world.use, world.person("cleared"), old.token.public_id)
    world.clock.advance(timedelta(hours=1))
    assert not works(world, old.text)


@cases("end", ["revoked", "expired", "another's"])
def test_a_token_that_no_longer_works_or_is_another_s_is_not_rotated(world: World, end: str) -> None:
    """Rotation continues what works; it revives nothing and gives nobody else's credential away."""
    old = create(world)
    caller = world.person("cleared")
    if end == "revoked":
        tokens.revoke(world.use, caller, old.token.public_id)
    elif end == "expired":
        world.clock.advance(2 * DAY)
    else:
        caller = world.admin
    with pytest.raises(NotPermitted if end == "another's" else NotPossible):
        tokens.rotate(world.use, caller, old.token.public_id)


@cases(
    ("name", "may"), [("cleared", True), ("admin", True), ("member", False), ("unsigned", False), ("auditor", False)]
)
def test_a_token_is_revoked_by_its_maker_its_owner_and_admins(world: World, name: str, may: bool) -> None:
    """To everyone else the token does not exist."""
    add_member(world)
    made = create(world)
    if may:
        tokens.revoke(world.use, world.person(name), made.token.public_id)
        with pytest.raises(NotPossible):
            tokens.revoke(world.use, world.person(name), made.token.public_id)
    else:
        with pytest.raises(NotFound) as answer:
            tokens.revoke(world.use, world.person(name), made.token.public_id)
        with pytest.raises(NotFound) as other:
            tokens.revoke(world.use, world.person(name), "0" * 12)
        assert answer.value.detail.replace(made.token.public_id, "0" * 12) == other.value.detail
    assert works(world, made.text) is not may


def test_what_is_no_id_is_no_token_s(world: World) -> None:
    """Also one that no database would look for."""
    for public_id in ("x" * 12, "", "\0", "x" * 10_000):
        with pytest.raises(NotFound):
            tokens.revoke(world.use, world.admin, public_id)


def test_an_owner_revokes_a_member_s_token(world: World) -> None:
    """The organization's owner answers for its tokens."""
    add_member(world)
    made = create(world, "member")
    tokens.revoke(world.use, world.person("cleared"), made.token.public_id)
    assert not works(world, made.text)


def test_whoever_can_show_a_token_can_revoke_it(world: World) -> None:
    """In either spelling. A finder needs no account; the log keeps that it was so; showing it again changes nothing."""
    made = create(world)
    for spelled in (tokens.for_hub(made.text), made.text):
        tokens.revoke_leaked(world.use, STRANGER, spelled)
    assert not works(world, made.text)
    assert [record["token"] for record in world.records("token.revoke_leaked")] == [made.token.public_id]


def test_a_guessed_secret_revokes_nothing(world: World) -> None:
    """Knowing a token's id is not having it."""
    made = create(world)
    tokens.revoke_leaked(world.use, STRANGER, tokens.render(made.token.public_id, bytes(32)))
    tokens.revoke_leaked(world.use, STRANGER, TOKEN)
    assert works(world, made.text)
    assert world.entries("token.revoke_leaked") == []


def test_disabling_the_maker_revokes_what_was_not_taken_over(world: World) -> None:
    """A taken-over token acts for its new holder and survives; the others end with their maker."""
    add_member(world)
    kept, lost = create(world, "member"), create(world, "member")
    tokens.take_over(world.use, world.person("cleared"), kept.token.public_id)
    assert people.disable(world.use, world.admin, world.example.people["member"]["email"]) == 1
    assert (works(world, kept.text), works(world, lost.text)) == (True, False)
    caller, _ = authentication.identify(world.use, kept.text, STRANGER)
    assert (caller.person, caller.role) == (world.example.people["cleared"]["email"], Role.OWNER)
    people.enable(world.use, world.admin, world.example.people["member"]["email"])
    assert not works(world, lost.text)


@cases(("name", "code"), [("unsigned", NotFound), ("member", NotFound), ("admin", NotPermitted)])
def test_a_token_is_taken_over_by_an_owner_of_its_own_organization_only(
    world: World, name: str, code: type[Refused]
) -> None:
    """Not by another partner, not by a mere member, and not by the lab."""
    add_member(world)
    made = create(world)
    with pytest.raises(code):
        tokens.take_over(world.use, world.person(name), made.token.public_id)
    assert authentication.identify(world.use, made.text, STRANGER)[0].person == world.example.people["cleared"]["email"]


def test_a_revoked_token_is_not_taken_over(world: World) -> None:
    """Taking over is for keeping a credential that works."""
    made = create(world)
    tokens.revoke(world.use, world.person("cleared"), made.token.public_id)
    with pytest.raises(NotPossible):
        tokens.take_over(world.use, world.person("cleared"), made.token.public_id)


def test_everyone_sees_the_tokens_that_they_answer_for(world: World) -> None:
    """A member sees their own, an owner the organization's, staff all; newest first."""
    add_member(world)
    made = create(world, "member").token.public_id
    seen: dict[str, set[str]] = {}
    for name in ("member", "cleared", "unsigned", "auditor"):
        with world.use.database.reading() as session:
            page = tokens.visible(session, world.person(name), Slice(100))
            assert [token.id for token in page.items] == sorted((token.id for token in page.items), reverse=True)
            seen[name] = {token.public_id for token in page.items}
    demo = {name: tokens.public_id_of(text) for name, text in world.example.tokens.items()}
    assert seen["member"] == {made}
    assert seen["cleared"] == {made, demo["cleared"], demo["expired"]}
    assert seen["unsigned"] == {demo["unsigned"]}
    assert seen["auditor"] == {made, *demo.values()}


def test_what_happened_to_a_token_is_logged_without_its_secret(world: World) -> None:
    """Making, rotating, taking over and revoking are entries about the token's public id."""
    caller, colleague = world.person("cleared"), "second@aurora-institute.example"
    made = create(world)
    new = tokens.rotate(world.use, caller, made.token.public_id)
    with pytest.raises(NotPossible, match="is already yours"):
        tokens.take_over(world.use, caller, new.token.public_id)
    people.add(world.use, caller, "aurora-institute", colleague, "A Second", Role.OWNER)
    tokens.take_over(world.use, world.person_of(colleague), new.token.public_id)
    tokens.revoke(world.use, caller, new.token.public_id)
    acts = [entry for entry in world.entries() if entry.subject in {made.token.public_id, new.token.public_id}]
    assert [entry.kind for entry in acts] == ["token.create", "token.rotate", "token.take_over", "token.revoke"]
    assert world.records("token.rotate")[0]["successor"] == new.token.public_id
    for entry in acts:
        assert entry.organization_id == caller.organization_id
        assert made.text[-49:].encode() not in entry.record
        assert new.text[-49:].encode() not in entry.record


def test_only_a_person_makes_tokens(sqlite_world: World) -> None:
    """A caller with a role and no person behind it makes nothing."""
    caller = Caller(via="cli", organization_id=1, role=Role.ADMIN)
    with pytest.raises(NotPermitted):
        tokens.create(sqlite_world.use, caller, "a name", READ, DAY)
