"""Identity: a token proves its owner, in one place only; everything else is one and the same stranger."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from server.domain.identity import tokens
from server.domain.identity.tokens import FORM
from server.domain.permissions import Scope
from server.domain.release import holds
from server.web.identity import UndeclaredView, open_to_all, require_declared
from tests.web.problems import require_problem, without_request_id
from tests.world import World

ORDER = {"stage": "gpt-2/774M", "paths": ["vocab.bpe"]}
STRANGE = {  # what nobody learns anything from without a token
    "an unknown stage": ("GET", "/stages/gpt-2/775M", None),
    "an unknown model": ("GET", "/stages/gpt-9/775M", None),
    "a stage that is no name": ("GET", "/stages/.../%00", None),
    "a planned stage that is announced": ("GET", "/stages/gpt-2/1558M", None),
    "a stage for partners": ("GET", "/stages/gpt-2/774M", None),
    "an alias of it": ("GET", "/stages/gpt-2/762M", None),
    "its checkpoints": ("GET", "/stages/gpt-2/774M/checkpoints", None),
    "the checkpoints of an unknown stage": ("GET", "/stages/gpt-2/775M/checkpoints", None),
    "its main": ("GET", "/stages/gpt-2/774M/checkpoints/main", None),
    "an unknown checkpoint": ("GET", f"/stages/gpt-2/774M/checkpoints/{'0' * 40}", None),
    "its manifest": ("GET", "/stages/gpt-2/774M/checkpoints/main/manifest", None),
    "its manifest in chunks": ("GET", "/stages/gpt-2/774M/checkpoints/main/manifest/chunks", None),
    "the main of a planned stage": ("GET", "/stages/gpt-2/1558M/checkpoints/main", None),
    "me": ("GET", "/me", None),
    "downloads": ("GET", "/downloads", None),
    "organizations": ("GET", "/organizations", None),
    "people": ("GET", "/people", None),
    "clearances": ("GET", "/clearances", None),
    "tiers": ("GET", "/tiers", None),
    "agreements": ("GET", "/agreements", None),
    "tokens": ("GET", "/tokens", None),
    "a download": ("POST", "/downloads", ORDER),
    "a download of an unknown stage": ("POST", "/downloads", {"stage": "gpt-2/775M"}),
    "a download of a planned stage": ("POST", "/downloads", {"stage": "gpt-2/1558M"}),
    "a download of an unknown checkpoint": ("POST", "/downloads", {**ORDER, "checkpoint": "0" * 40}),
    "a download of an unknown path": ("POST", "/downloads", {**ORDER, "paths": ["secret.bin"]}),
}


def test_a_stranger_hears_one_and_the_same_answer(sqlite_world: World) -> None:
    """What exists, what is planned and what was never there are told apart by nobody without a token."""
    heard = []
    for method, path, body in STRANGE.values():
        answer = sqlite_world.api(method, path, None, json=body)
        require_problem(answer, 401, "authentication_required")
        heard.append((without_request_id(answer), dict(answer.headers, **{"X-Request-Id": ""})))
    assert all(one == heard[0] for one in heard)


def test_a_stranger_may_have_what_is_public(sqlite_world: World) -> None:
    """A public stage needs no token; the log then knows the address."""
    answer = sqlite_world.api("POST", "/downloads", None, json={"stage": "gpt-2/124M"})
    assert answer.status_code == 201
    assert sqlite_world.records("download")[0]["actor"] == {
        "via": "anonymous", "address": "127.0.0.1", "user_agent": sqlite_world.client.environ_base["HTTP_USER_AGENT"],
    }  # fmt: skip


@pytest.mark.parametrize("method_path", [("GET", "/stages"), ("GET", "/stages/gpt-2/124M"), ("POST", "/downloads")])
def test_public_stages_can_need_sign_in(sqlite_world: World, method_path: tuple[str, str]) -> None:
    """With the setting, a stranger gets nothing of a public stage either."""
    closed = sqlite_world.settings.model_copy(update={"public_stages_need_sign_in": True})
    sqlite_world.use.settings = closed
    method, path = method_path
    body = {"stage": "gpt-2/124M"} if method == "POST" else None
    require_problem(sqlite_world.api(method, path, None, json=body), 401, "authentication_required")


@pytest.mark.parametrize(
    "header",
    ["Bearer \ufeff{}", "\ufeffBearer {}", 'Bearer "{}"', "Bearer '{}'", '"Bearer {}"', "Bearer Bearer {}",
     "Bearer {},", "Token {}", "{}", "Bearer {} {}", "Bearer token={}"],
)  # fmt: skip
def test_what_holds_more_than_a_token_is_told_so(shared_world: World, header: str) -> None:
    """What an editor or a script adds is named, since the token itself would work; nothing of it is sent back."""
    token = shared_world.example.tokens["cleared"]
    sent = header.format(token, token).encode().decode("latin-1")
    answer = shared_world.api("GET", "/me", None, headers={"Authorization": sent})
    problem = require_problem(answer, 401, "invalid_credentials")
    assert problem["detail"] == "The Authorization header contains more than a token."
    assert "no quotes" in problem["next_step"]
    assert token not in answer.text


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {} ", "BEARER  {}"])
def test_spaces_around_a_token_are_none_of_it(shared_world: World, header: str) -> None:
    """Nor does the scheme's spelling matter."""
    sent = header.format(shared_world.example.tokens["cleared"])
    assert shared_world.api("GET", "/me", None, headers={"Authorization": sent}).status_code == 200


def _changed(token: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def _of_nobody(_: str) -> str:
    return tokens.render("0" * 12, b"\x01" * 32)


def _with_another_secret(token: str) -> str:
    return tokens.render(token[4:16], b"\x01" * 32)


HEADERS: dict[str, Callable[[str], str]] = {
    "a changed token": lambda token: f"Bearer {_changed(token)}",
    "a token of nobody": lambda token: f"Bearer {_of_nobody(token)}",
    "a known id with another secret": lambda token: f"Bearer {_with_another_secret(token)}",
    "half a token": lambda token: f"Bearer {token[:40]}",
    "a token twice": lambda token: f"Bearer {token}{token}",
    "two tokens": lambda token: f"Bearer {token} {token}",
    "two headers": lambda token: f"Bearer {token},Bearer {token}",
    "a list": lambda token: f"Bearer {token}, Bearer x",
    "no token": lambda _: "Bearer",
    "spaces": lambda _: "Bearer    ",
    "nothing": lambda _: "",
    "the token alone": lambda token: token,
    "Basic": lambda _: "Basic b3duZXI6cGFzc3dvcmQ=",
    "Basic with the token": lambda token: f"Basic {token}",
    "Digest": lambda _: 'Digest username="owner"',
    "a JWT": lambda _: "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJvd25lciJ9.",
    "another alphabet": lambda token: f"Bearer {token[:30]}\xe4{token[31:]}",
    "10,000 characters": lambda token: f"Bearer {token}{'A' * 10_000}",
}


@pytest.mark.parametrize("header", HEADERS)
def test_credentials_that_are_none_are_refused(shared_world: World, header: str) -> None:
    """A header that is not exactly one good token is an error, even where a stranger would be let in."""
    text = HEADERS[header](shared_world.example.tokens["cleared"])
    answer = shared_world.api("POST", "/downloads", None, json={"stage": "gpt-2/124M"}, headers={"Authorization": text})
    require_problem(answer, 401, "invalid_credentials")
    assert shared_world.entries("download") == []
    assert shared_world.signed_urls == []


def test_a_scheme_has_no_case(shared_world: World) -> None:
    """`bearer` is `Bearer` (RFC 9110, section 11.1)."""
    token = shared_world.example.tokens["cleared"]
    assert shared_world.api("GET", "/me", None, headers={"Authorization": f"bearer  {token} "}).status_code == 200


def test_a_cookie_is_nobody(sqlite_world: World) -> None:
    """The API takes tokens from the header alone: a foreign page's request, with cookies, is a stranger's."""
    token = sqlite_world.example.tokens["cleared"]
    for name in ("token", "session", "Authorization", "access_token"):
        sqlite_world.client.set_cookie(name, token)
    require_problem(sqlite_world.api("GET", "/me", None), 401, "authentication_required")


PLACES = {
    "a parameter": "/me?token={token}",
    "a parameter of another name": "/people?x={token}",
    "a parameter's name": "/me?{token}=1",
    "a parameter of a list": "/people?cursor={token}",
    "inside a parameter": "/people?cursor=Bearer%20{token}",
    "after others": "/people?limit=5&limit2=a&x={token}",
    "a path": "/stages/gpt-2/{token}",
    "a path that is no route": "/nothing/{token}",
    "a parameter for tokens": "/me?access_token=abc",
    "the same, in capitals": "/me?Access_Token=abc",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("token", ["cleared", None])
def test_a_token_in_the_address_is_refused(shared_world: World, place: str, token: str | None) -> None:
    """Addresses are kept by every machine on the way: with or without the header too, and it is not repeated."""
    path = PLACES[place].format(token=shared_world.example.tokens["cleared"])
    answer = shared_world.api("GET", path, token)
    assert "Revoke this one" in require_problem(answer, 400, "invalid_request")["next_step"]
    assert all(FORM.search(refusal.asked + refusal.detail) is None for refusal in shared_world.refusals())


def test_a_token_in_the_user_agent_does_not_reach_the_log(sqlite_world: World) -> None:
    """The log keeps who called with what, but never a credential; `world.check` looks for one."""
    token = sqlite_world.example.tokens["cleared"]
    headers = {"User-Agent": f"curl \x07 {token}"}
    assert sqlite_world.api("POST", "/downloads", json=ORDER, headers=headers).status_code == 201
    assert sqlite_world.records("download")[0]["actor"]["user_agent"] == f"curl  [redacted token {token[4:16]}]"


@pytest.mark.parametrize(("address", "status"), [("192.0.2.77", 200), ("198.51.100.7", 403), ("garbage", 403)])
def test_a_token_for_networks_works_from_there_only(sqlite_world: World, address: str, status: int) -> None:
    """The address that counts is the one behind our own proxy."""
    world = sqlite_world
    made = tokens.create(
        world.use, world.person("cleared"), "office", [Scope.STAGES_READ], timedelta(days=1), ["192.0.2.0/24"]
    )
    world.use.settings = world.settings.model_copy(update={"trusted_proxies": ("127.0.0.1/32",)})
    answer = world.api("GET", "/me", made.text, headers={"X-Forwarded-For": f"192.0.2.1, {address}"})
    assert answer.status_code == status
    if status == 403:
        require_problem(answer, 403, "network_not_allowed")


def test_a_revoked_token_is_refused_at_once(sqlite_world: World) -> None:
    """Nothing is remembered of a token: the request after its revocation is refused, and recorded with its owner."""
    world = sqlite_world
    token = world.example.tokens["cleared"]
    assert world.api("GET", "/me").status_code == 200
    tokens.revoke(world.use, world.person("cleared"), token[4:16])
    require_problem(world.api("GET", "/me"), 401, "invalid_credentials")
    assert world.refusals()[-1].organization_id == world.person("cleared").organization_id


def test_a_suspended_organization_is_told_so(sqlite_world: World) -> None:
    """Suspension reaches every route that a token opens."""
    world = sqlite_world
    holds.place(world.use, world.admin, "organization:aurora-institute", "an audit")
    for path in ("/me", "/stages", "/stages/gpt-2/124M", "/downloads", "/tiers"):
        require_problem(world.api("GET", path), 403, "organization_suspended")


def test_a_view_without_a_declaration_stops_the_start() -> None:
    """Whoever forgets to say who may call a route does not get a server."""
    app = Flask("tests", static_folder=None)
    app.add_url_rule("/open", view_func=open_to_all(lambda: ""), endpoint="open")
    require_declared(app)
    app.add_url_rule("/forgotten", view_func=lambda: "", endpoint="forgotten")
    with pytest.raises(UndeclaredView, match="/forgotten"):
        require_declared(app)
