"""Refused: the pages that say no: what happened, what did not, what to do now, whom to ask, and the request's id."""

import re

import pytest
from flask import request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge, UnsupportedMediaType

from server.domain.errors import NotSealedYet, QuotaExceeded, Refused
from server.domain.release import holds
from server.web import app as web
from server.web.errors import STATUS
from server.web.portal.kit.refused import local_path
from tests.visits import Visit, visit, words
from tests.world import World

# Pages speak to people: nothing of the API, and nothing of the program.
FOR_PROGRAMS = re.compile(r"/api/v1|Bearer|Retry-After|openapi|Traceback|`|\{contact\}|Undefined|None")
HTTP: dict[str, HTTPException] = {
    "method_not_allowed": MethodNotAllowed(["GET"]),
    "payload_too_large": RequestEntityTooLarge(),
    "unsupported_media_type": UnsupportedMediaType(),
}
CODES = sorted({kind.code for kind in STATUS} | set(HTTP) | {"internal_error", "not_found"})


def one_of(code: str) -> Exception:
    """What a view or the domain raises for it."""
    kinds: dict[str, type[Refused]] = {kind.code: kind for kind in STATUS if kind.__base__ is Refused}
    if code in HTTP:
        return HTTP[code]
    if code not in kinds:
        return ZeroDivisionError("a secret of ours")
    return NotSealedYet() if kinds[code] is NotSealedYet else kinds[code](retry_after_seconds=4000)


def refusing(world: World, name: str | None) -> Visit:
    """A visit to an app that refuses every POST with the code that it names."""
    app = web.create(world.use)

    @app.before_request
    def refuse() -> None:
        if request.method == "POST" and request.path.startswith("/refused/"):
            raise one_of(request.path.removeprefix("/refused/"))

    return visit(app, world.use, None if name is None else world.example.people[name]["email"])


@pytest.mark.parametrize("name", ["cleared", "admin", None])
def test_every_refusal_has_its_page(sqlite_world: World, name: str | None) -> None:
    """Each code says all four things, to partners, the lab and strangers, in words for people."""
    at = refusing(sqlite_world, name)
    for code in CODES:
        page = at.client.post(f"/refused/{code}", headers={"Accept": "text/html"})
        text = words(page)
        assert page.status_code >= 400
        assert page.mimetype == "text/html"
        assert page.text.count("<h1>") == 1
        for part in ("What to do now", "Get help", "clearance@example-lab.example", page.headers["X-Request-Id"]):
            assert part in text, (code, part)
        assert code in text
        assert re.search(r"[Nn]othing was|Nobody was|no proof", text), code
        assert not FOR_PROGRAMS.search(text), (code, text)
        assert "a secret of ours" not in page.text
        assert "'self'" in page.headers["Content-Security-Policy"]


def test_each_page_names_its_one_next_step(sqlite_world: World) -> None:
    """A button leads on: to a request, to the agreement, to signing in; and waiting says how long."""
    at = refusing(sqlite_world, "cleared")
    steps = {
        "not_cleared": 'href="/requests/new"',
        "clearance_expired": 'href="/requests/new"',
        "agreement_unsigned": 'href="/agreements"',
        "agreement_outdated": 'href="/agreements"',
        "authentication_required": 'href="/sign-in"',
        "quota_exceeded": "1 hour and 7 minutes",
        "rate_limited": "1 hour and 7 minutes",
        "too_many_attempts": "1 hour and 7 minutes",
    }
    for code, step in steps.items():
        page = at.client.post(f"/refused/{code}", headers={"Accept": "text/html"}).text
        assert step in page[page.index("What to do now") :], code
    assert at.client.post(f"/refused/{QuotaExceeded.code}").headers["Retry-After"] == "4000"


def test_a_form_without_our_sign_is_told_apart(sqlite_world: World) -> None:
    """Without a token, with another's, or with one of another visit: refused by its own name."""
    visitor, other = sqlite_world.visit("cleared"), sqlite_world.visit("cleared")
    for token in ("", "forged", other.csrf_token):
        page = visitor.post("/appearance", {"appearance": "dark"}, csrf=token)
        assert page.status_code == 400
        assert "This form has expired or is not valid" in words(page)
        assert "form_expired" in words(page)
        assert "Set-Cookie" not in page.headers or "appearance=" not in page.headers["Set-Cookie"]


def test_what_is_not_there_is_a_page(sqlite_world: World) -> None:
    """For browsers; programs get their JSON; a button's address that is opened by hand says so."""
    at = sqlite_world.visit("cleared")
    for path in ("/nothing", "/admin/nothing", "/static/nothing.css", "/%00", "/" + "x" * 3000):
        page = at.get(path)
        assert page.status_code == 404
        assert "Page not found" in words(page)
    assert at.client.get("/nothing", headers={"Accept": "application/json"}).mimetype == "application/problem+json"
    page = at.get("/appearance")
    assert page.status_code == 405
    assert set(page.headers["Allow"].split(", ")) == {"OPTIONS", "POST"}
    assert "use the button" in words(page)


def test_a_suspended_organization_reads_why(sqlite_world: World) -> None:
    """The session is known, so the page may say it; and signing out still works from it."""
    world = sqlite_world
    at = world.visit("cleared")
    holds.place(world.use, world.admin, "organization:aurora-institute", "an audit")
    page = at.get("/")
    assert page.status_code == 403
    assert "Your organization is suspended" in words(page)


def test_the_next_address_is_ours() -> None:
    """What leads to another host, in any form that a browser reads so, leads home."""
    ours = ("/", "/downloads?stage=gpt-2%2F774M", "/stages/gpt-2/774M")
    assert [local_path(path) for path in ours] == list(ours)
    others = (
        None, "", "downloads", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)",
        "/\tdownloads", "/ /evil.example", "/a\\b", "/\n/evil.example", "/" + "x" * 3000, "/\x7f",
    )  # fmt: skip
    assert {local_path(path) for path in others} == {"/"}
