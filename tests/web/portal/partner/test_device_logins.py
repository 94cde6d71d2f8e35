"""The pages of device logins: a code is typed, somebody looks at who asks, and approves or denies."""

from server.web.portal.kit import limits
from server.web.portal.kit.limits import Limit
from tests.filled_forms import device_asks
from tests.visits import words
from tests.world import World

FORM = {"name": "node-7", "scopes": "stages:read", "days": "30"}


def test_a_typed_code_leads_to_who_asks(sqlite_world: World) -> None:
    """With the address that the program asked from; a wrong code is told at its field."""
    code, here = device_asks(sqlite_world)["user_code"], sqlite_world.visit("cleared")
    found = here.post("/device", {"user_code": code.lower()})
    assert (found.status_code, found.headers["Location"]) == (303, f"/device/{code}")
    page = words(here.get(f"/device/{code}"))
    assert "Asked from 127.0.0.1" in page
    assert code in page
    wrong = here.post("/device", {"user_code": "BCDF-GHJK"})
    assert wrong.status_code == 422
    assert "No program waits under this code." in words(wrong)


def test_approving_needs_a_proof_of_just_now(sqlite_world: World) -> None:
    """Whoever finds a browser open cannot give their own program a token."""
    code, here = device_asks(sqlite_world)["user_code"], sqlite_world.visit("cleared")
    here.grow_stale()
    asked = here.post(f"/device/{code}/approve", FORM)
    assert asked.status_code == 403
    assert "Confirm it’s you" in words(asked)


def test_a_bad_wish_keeps_the_form(sqlite_world: World) -> None:
    """And the program still waits."""
    code, here = device_asks(sqlite_world)["user_code"], sqlite_world.visit("cleared")
    refused = here.post(f"/device/{code}/approve", FORM | {"networks": "not a network"})
    assert refused.status_code == 422
    assert here.get(f"/device/{code}").status_code == 200


def test_whoever_guesses_codes_is_stopped(sqlite_world: World) -> None:
    """After thirty wrong ones; a right one is not counted."""
    code, here = device_asks(sqlite_world)["user_code"], sqlite_world.visit("cleared")
    most = limits.RATES[Limit.DEVICE_CODE_OF_PERSON].amount
    for _ in range(most):
        assert here.get("/device/BCDF-GHJK").status_code == 404
    assert here.get("/device/BCDF-GHJK").status_code == 429
    assert here.get(f"/device/{code}").status_code == 200
