"""Kept forms: an old form and an ended session lose nothing that was typed, and act on nothing that was not seen."""

from datetime import timedelta

import pytest
from werkzeug.test import TestResponse

from server.domain.access import access_requests
from server.domain.paging import Slice
from tests.visits import Visit, fields_of, words
from tests.web.portal.account.test_sign_in import code_of
from tests.world import World

PURPOSE = "We study bias.\n\n  - in long texts\n  - in short ones " + "and more " * 900


def filled(world: World) -> dict[str, str]:
    until = (world.clock() + timedelta(days=60)).date().isoformat()
    return {"stages": "gpt-2/774M", "purpose": PURPOSE, "until": until}


def asked(world: World) -> list[str]:
    with world.use.database.reading() as session:
        return [one.purpose for one in access_requests.visible(session, world.person("uncleared"), Slice(10)).items]


def holds_all(world: World, page: TestResponse) -> bool:
    held, wanted = fields_of(page), filled(world)
    return all(value.strip() in [text.strip() for text in held.get(name, [])] for name, value in wanted.items())


def sign_in(world: World, visit: Visit, wanted: str) -> str:
    """Sign in again with a password and a code; return where that leads."""
    person, token = world.example.people["uncleared"], visit.csrf_token
    visit.post("/sign-in", {"email": person["email"], "password": person["password"], "next": wanted}, csrf=token)
    code = code_of(world, "uncleared")
    return str(visit.post("/sign-in/second-factor", {"code": code, "next": wanted}, csrf=token).headers["Location"])


def test_an_old_form_is_shown_again_filled_in_and_then_works(world: World) -> None:
    """With a fresh token, and a sentence that nothing was sent; only the second time is anything done."""
    visit = world.visit("uncleared")
    for token in ("", "forged", world.visit("cleared").csrf_token):
        again = visit.post("/requests/new", filled(world), csrf=token)
        assert again.status_code == 400
        assert "It was not sent." in words(again)
        assert holds_all(world, again)
        assert asked(world) == []
    fields = {name: held[-1] for name, held in fields_of(again).items() if name in filled(world) | {"csrf_token": ""}}
    sent = visit.post("/requests/new", fields, csrf=fields["csrf_token"])
    assert sent.status_code == 303
    assert len(asked(world)) == 1


def test_a_button_of_an_old_page_waits_for_a_second_press(sqlite_world: World) -> None:
    """It acts on somebody, so the page is shown and nothing is done; what reads no form at all is refused as before."""
    visit = sqlite_world.visit("cleared")
    before = len(sqlite_world.entries())
    for path in ("/people/invite", "/tokens/new"):
        assert "It was not sent." in words(visit.post(path, {}, csrf="old"))
    refused = visit.post("/account/sessions/end-others", csrf="old")
    assert refused.status_code == 400
    assert "form_expired" in words(refused)
    assert len(sqlite_world.entries()) == before


def test_what_was_typed_outlives_the_session(sqlite_world: World) -> None:
    """Signing in leads back to it; the form is filled in again, and is sent by nobody but its person."""
    visit = sqlite_world.visit("uncleared")
    token = visit.csrf_token
    sqlite_world.clock.advance(timedelta(minutes=31))
    away = visit.post("/requests/new", filled(sqlite_world), csrf=token)
    assert away.headers["Location"] == "/sign-in?next=/account/kept-form"
    assert "what you entered is kept" in words(visit.get("/sign-in"))
    assert sign_in(sqlite_world, visit, "/account/kept-form") == "/account/kept-form"
    kept = visit.get("/account/kept-form")
    assert 'action="/requests/new"' in kept.text
    assert holds_all(sqlite_world, kept)
    fields = {name: held[-1] for name, held in fields_of(kept).items() if name in filled(sqlite_world)}
    form = visit.client.post("/requests/new", data=fields, headers={"Accept": "text/html"})
    assert form.status_code == 400
    assert holds_all(sqlite_world, form)
    assert asked(sqlite_world) == []


def test_passwords_and_codes_are_not_kept(sqlite_world: World) -> None:
    """Neither in the answer nor in the database: whoever signs in types them anew."""
    visit = sqlite_world.visit("cleared")
    token = visit.csrf_token
    sqlite_world.clock.advance(timedelta(minutes=31))
    secrets = {"current_password": "an old password", "new_password": "a new password", "code": "123456"}
    lost = visit.post("/account/password", secrets, csrf=token)
    assert lost.status_code == 401
    assert not [secret for secret in secrets.values() if secret in lost.text]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_chooses_nothing_that_is_kept(sqlite_world: World, site: str) -> None:
    """Its form comes without our cookies, as if the session had ended: nothing is kept for the next sign-in."""
    visit = sqlite_world.visit(None)
    headers = {"Accept": "text/html", "Sec-Fetch-Site": site}
    assert visit.client.post("/requests/new", data=filled(sqlite_world), headers=headers).status_code == 401


def test_keeping_is_bounded(sqlite_world: World) -> None:
    """By size and by address: beyond that, the page says to sign in, as before."""
    visit = sqlite_world.visit(None)
    assert visit.post("/requests/new", {"purpose": "x" * 100_001}).status_code == 401
    answers = [visit.post("/requests/new", {"purpose": "x"}).status_code for _ in range(21)]
    assert answers == [303] * 20 + [401]
