"""Tokens over HTTP: seen without their secrets, and revoked by whoever found one."""

from datetime import timedelta
from typing import Any

import pytest

from server.domain.identity import people, tokens
from server.domain.identity.tokens import FORM
from server.domain.permissions import Role, Scope
from tests.web.problems import require_problem
from tests.world import World


def test_tokens_are_listed_without_secrets(sqlite_world: World) -> None:
    """What they are for and until when, and nothing that would work."""
    answer = sqlite_world.api("GET", "/tokens")
    assert FORM.search(answer.text) is None
    for item in answer.json["items"]:
        assert set(item) == {"id", "name", "scopes", "networks", "created_at", "expires_at", "revoked_at"}
    listed = {item["id"] for item in answer.json["items"]}
    assert listed == {sqlite_world.example.tokens[name][4:16] for name in ("cleared", "expired")}


def test_a_member_sees_their_own_tokens_only(sqlite_world: World) -> None:
    """An owner sees the organization's, a member not even the owner's."""
    world = sqlite_world
    slug, email = "aurora-institute", "member@aurora-institute.example"
    people.add(world.use, world.admin, slug, email, "Mem Ber", Role.MEMBER, "a long enough password")
    world.example.people["member"] = {"email": email}
    made = tokens.create(world.use, world.person("member"), "mine", [Scope.STAGES_READ], timedelta(days=1))
    assert [item["id"] for item in world.api("GET", "/tokens", made.text).json["items"]] == [made.token.public_id]
    assert made.token.public_id in world.api("GET", "/tokens").text


def leaked(world: World, text: Any) -> Any:
    return world.api("POST", "/tokens/leaked", None, json={"token": text})


def test_whoever_shows_a_token_revokes_it(world: World) -> None:
    """No sign-in is needed, it works at once, and the log tells of it once."""
    token = world.example.tokens["cleared"]
    for _ in range(2):
        answer = leaked(world, token)
        assert (answer.status_code, answer.data) == (204, b"")
    require_problem(world.api("GET", "/me"), 401, "invalid_credentials")
    (record,) = world.records("token.revoke_leaked")
    assert record["token"] == token[4:16]
    assert record["actor"]["via"] == "anonymous"


@pytest.mark.parametrize("text", ["", "nonsense", "wgk_", "\x00", "a" * 200, "another secret", "nobody"])
def test_what_is_no_token_is_answered_alike(sqlite_world: World, text: str) -> None:
    """The answer tells nobody whether a token was one; an id alone revokes nothing."""
    public_id = sqlite_world.example.tokens["cleared"][4:16]
    shown = {
        "another secret": tokens.render(public_id, b"\x01" * 32), "nobody": tokens.render("0" * 12, b"\x01" * 32),
    }.get(text, text)  # fmt: skip
    before = len(sqlite_world.entries())
    answer = leaked(sqlite_world, shown)
    assert (answer.status_code, answer.data) == (204, b"")
    assert sqlite_world.api("GET", "/me").status_code == 200
    assert len(sqlite_world.entries()) == before


@pytest.mark.parametrize("text", [None, 7, ["wgk_"], "a" * 201, "\ud800"])
def test_what_cannot_be_a_token_is_refused(sqlite_world: World, text: Any) -> None:
    """The body has a schema like every other."""
    require_problem(leaked(sqlite_world, text), 400, "invalid_request")
