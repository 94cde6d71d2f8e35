"""Device logins by HTTP: forms and errors as RFC 8628 has them, for programs that come with a library for it."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from server.domain.identity import device_logins
from server.domain.permissions import Scope
from tests.world import World

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
HOST = "http://localhost:8080"


def post(world: World, path: str, **fields: str) -> tuple[int, dict[str, Any]]:
    answer = world.api("POST", f"/device-logins{path}", None, data=fields)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.mimetype == "application/json", answer.text
    return answer.status_code, answer.json


def test_from_two_codes_to_a_token_that_works(world: World) -> None:
    """With a browser in between: the page shows who asks, and approving needs a proof of just now."""
    status, begun = post(world, "", client_id="weightgate on node-7", some_extension="ignored")
    assert (status, begun["expires_in"], begun["interval"]) == (200, 600, 5)
    assert begun["verification_uri"] == f"{HOST}/device"
    assert begun["verification_uri_complete"] == f"{HOST}/device/{begun['user_code']}"
    known = {"grant_type": DEVICE_GRANT, "device_code": begun["device_code"], "client_id": "x"}
    assert post(world, "/token", **known)[1]["error"] == "authorization_pending"
    assert post(world, "/token", **known)[1]["error"] == "slow_down"
    here = world.visit("cleared")
    page = urlsplit(begun["verification_uri_complete"]).path
    assert "weightgate on node-7 asks for a token" in here.get(page).text
    form = {"name": "node-7", "scopes": "stages:read", "days": "30", "networks": ""}
    assert here.post(f"{page}/approve", form).status_code == 303
    world.clock.advance(device_logins.LIFETIME / 10)
    status, made = post(world, "/token", **known)
    assert (status, made["token_type"], made["scope"], made["expires_in"]) == (200, "Bearer", "stages:read", 30 * 86400)
    assert world.api("GET", "/me", made["access_token"]).status_code == 200
    world.clock.advance(device_logins.LIFETIME / 10)
    status, again = post(world, "/token", **known)
    assert (status, again["error"]) == (400, "invalid_grant")
    assert "already fetched" in again["error_description"]


def test_what_is_denied_or_too_late_is_said_in_its_own_words(sqlite_world: World) -> None:
    """So that a program knows when to stop asking."""
    world = sqlite_world
    begun = post(world, "", client_id="x")[1]
    here = world.visit("cleared")
    assert here.post(f"/device/{begun['user_code']}/deny").status_code == 303
    known = {"grant_type": DEVICE_GRANT, "device_code": begun["device_code"]}
    assert post(world, "/token", **known)[1]["error"] == "access_denied"
    world.clock.advance(device_logins.LIFETIME)
    assert post(world, "/token", **known)[1]["error"] == "expired_token"
    assert post(world, "", client_id="x", scope="everything")[1]["error"] == "invalid_scope"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("", {}),
        ("", {"client_id": "x" * 101}),
        ("", {"client_id": "x", "scope": ""}),
        ("/token", {"grant_type": "password", "device_code": "x"}),
        ("/token", {"grant_type": DEVICE_GRANT}),
        ("/token", {"grant_type": DEVICE_GRANT, "device_code": "x" * 201}),
    ],
)
def test_a_form_that_is_not_one_is_refused(sqlite_world: World, path: str, fields: dict[str, str]) -> None:
    """As a problem, like at every other address."""
    answer = sqlite_world.api("POST", f"/device-logins{path}", None, data=fields)
    assert answer.status_code == 400
    assert answer.json["code"] == "invalid_request"


def test_a_program_asks_for_little_by_default(sqlite_world: World) -> None:
    """To see, to download and to report; the person may give less."""
    begun = post(sqlite_world, "", client_id="x")[1]
    use = sqlite_world.use
    with use.database.reading() as session:
        row = device_logins.waiting(session, sqlite_world.person("cleared"), begun["user_code"], use.clock())
        assert row.scopes.split() == sorted([Scope.STAGES_READ, Scope.DOWNLOADS_CREATE, Scope.FINDINGS_CREATE])
