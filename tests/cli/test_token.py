"""`token`: create, list, rotate, revoke, take over."""

from tests.cli.operator import Operator
from tests.own_account import OWN, choose_password, set_up_app
from tests.world import World

CREATE = ("token", "create", "cluster", "--scope", "stages:read", "--scope", "downloads:create")


def test_a_token_works_as_printed_and_is_printed_once(operator: Operator, sqlite_world: World) -> None:
    """The text in the answer authenticates, and no later list repeats it."""
    body = operator(*CREATE, "--days", 7, "--json", by="cleared").body
    assert sqlite_world.api("GET", "/me", body["token"]).status_code == 200
    assert body["expires_at"].endswith("Z")
    listed = operator("token", "list", "--json", by="cleared")
    assert body["id"] in listed.out
    assert "wgk_" not in listed.out


def test_for_people_the_token_stands_on_a_line_of_its_own(operator: Operator) -> None:
    """It can be copied with a double click."""
    last = operator(*CREATE, by="cleared").out.splitlines()[-1]
    assert last.startswith("wgk_")
    assert len(last) == 66


def test_rotation_gives_a_successor_beside_the_old_one(operator: Operator, sqlite_world: World) -> None:
    """Both work for a day; revoking the old one ends it at once."""
    old = operator(*CREATE, "--json", by="cleared").body
    new = operator("token", "rotate", old["id"], "--json", by="cleared").body
    assert {sqlite_world.api("GET", "/me", made["token"]).status_code for made in (old, new)} == {200}
    operator("token", "revoke", old["id"], by="cleared")
    assert sqlite_world.api("GET", "/me", old["token"]).status_code == 401
    assert sqlite_world.api("GET", "/me", new["token"]).status_code == 200


def test_a_token_for_a_network_is_refused_from_elsewhere(operator: Operator, sqlite_world: World) -> None:
    """The networks that were given are the only ones it works from."""
    body = operator(*CREATE, "--network", "192.0.2.0/24", "--json", by="cleared").body
    assert sqlite_world.api("GET", "/me", body["token"]).json["code"] == "network_not_allowed"


def test_another_organization_s_token_is_not_there(operator: Operator) -> None:
    """A partner can neither revoke nor take over what it may not know of."""
    body = operator(*CREATE, "--json", by="cleared").body
    for act in ("revoke", "take-over", "rotate"):
        assert "There is no token" in operator("token", act, body["id"], by="uncleared", code=1).line


def test_a_token_outlives_its_maker_when_it_is_taken_over(operator: Operator, sqlite_world: World) -> None:
    """Disabling its first maker no longer ends a token that a colleague took over."""
    add = ("person", "add", "nora@aurora-institute.example", "--organization", "aurora-institute", "--name", "Nora N")
    made = operator(*add, "--role", "member", "--json", by="cleared").body
    choose_password(sqlite_world.use, made["email"], made["password"])
    set_up_app(sqlite_world.use, made["email"])
    operator.people["nora"] = made | {"password": OWN}
    body = operator(*CREATE, "--json", by="nora").body
    operator("token", "take-over", body["id"], by="cleared")
    operator("person", "disable", "nora@aurora-institute.example", by="cleared")
    assert sqlite_world.api("GET", "/me", body["token"]).status_code == 200


def test_a_life_longer_than_the_settings_allow_is_refused(operator: Operator) -> None:
    """Ninety days are the most; the line says so."""
    assert "90" in operator(*CREATE, "--days", 91, by="cleared", code=1).line


def test_a_scope_that_the_role_cannot_use_is_refused(operator: Operator) -> None:
    """A partner's token cannot be made for publishing."""
    operator("token", "create", "x", "--scope", "checkpoints:publish", by="cleared", code=1)
