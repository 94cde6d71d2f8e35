"""Rendering: what every page has, its headers, and the filters that put data into words."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict

from server.domain.resources import Resources
from server.web import app as web
from server.web.portal.kit import rendering
from tests.templates import Template
from tests.visits import words
from tests.world import World

AT = datetime(2019, 8, 20, 14, 3, 5, tzinfo=UTC)
PLACES = {
    "cleared": {"/", "/downloads", "/tokens", "/people", "/agreements", "/requests", "/audit/log"},
    "admin": {
        "/admin/queue", "/admin/organizations", "/admin/clearances", "/admin/stages",
        "/audit/log", "/downloads", "/tokens",
    },
    "auditor": {
        "/audit/log", "/audit/alarms", "/admin/organizations", "/admin/clearances", "/admin/stages",
        "/downloads", "/tokens",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def app(sqlite_template: Template) -> Iterator[Flask]:
    """An app that only reads, so all tests here share it."""
    use = Resources(sqlite_template.settings)
    yield web.create(use)
    use.close()


@pytest.mark.parametrize("name", PLACES)
def test_a_page_shows_the_places_of_a_role(sqlite_world: World, name: str) -> None:
    """And no other's; with the way to the account, to light and dark, and out."""
    page = sqlite_world.visit(name).get("/")
    header = page.text[page.text.index('<header class="top">') : page.text.index("</header>")]
    assert {path for path in PLACES[name] if f'href="{path}"' not in header} == set()
    others = set().union(*PLACES.values()) - PLACES[name] - {"/", "/audit/alarms"}
    assert {path for path in others if f'href="{path}"' in header} == set()
    assert 'action="/sign-out"' in header
    assert 'action="/appearance"' in header
    assert 'href="/account"' in header


def test_every_page_says_what_it_is_about(sqlite_world: World) -> None:
    """To search engines and to whoever is sent a link; with the lab's name."""
    for name, path in ((None, "/sign-in"), ("cleared", "/"), (None, "/help")):
        found = re.findall(
            r'<meta name="description" content="([^"]{50,160})">', sqlite_world.visit(name).get(path).text
        )
        assert len(found) == 1, path
        assert "Example Lab" in found[0]


def test_every_page_says_where_one_is(sqlite_world: World) -> None:
    """The product, the lab, the endpoint, whom to ask, and the request's id; a stranger can sign in."""
    page = sqlite_world.visit(None).get("/nothing")
    for part in ("Weightgate", "Example Lab", "http://localhost:8080", "clearance@example-lab.example", "Sign in"):
        assert part in words(page), part
    assert page.headers["X-Request-Id"] in words(page)
    assert 'href="#content"' in page.text
    assert 'id="content"' in page.text
    assert "width=device-width" in page.text


def test_a_page_s_headers_are_strict(sqlite_world: World) -> None:
    """Nobody keeps it, nobody frames it, nothing inline runs, and forms go to us or on to the store."""
    headers = sqlite_world.visit("cleared").get("/").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    parts = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert parts["default-src"] == parts["frame-ancestors"] == parts["base-uri"] == "'none'"
    assert parts["script-src"] == parts["style-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/downloads", "/account"])
def test_the_page_that_says_so_stands_without_the_database(sqlite_template: Template, path: str) -> None:
    """Nothing of the frame needs it: not the lab's name, not who is looking."""
    gone = sqlite_template.settings.model_copy(update={"database_url": "sqlite:////nowhere/weightgate.sqlite3"})
    use = Resources(gone)
    client = web.create(use).test_client()
    client.set_cookie("weightgate-session", "wgs_" + "x" * 43)
    page = client.get(path, headers={"Accept": "text/html"})
    assert client.get("/nothing", headers={"Accept": "text/html"}).status_code == 404
    use.close()
    assert page.status_code == 503
    assert "This cannot be recorded right now" in words(page)
    assert page.headers["X-Request-Id"] in words(page)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"), (43, "just now"), (60, "1 minute ago"), (3540, "59 minutes ago"), (3 * 3600, "3 hours ago"),
        (86_400, "1 day ago"), (13 * 86_400, "13 days ago"), (-30, "in a moment"), (-7200, "in 2 hours"),
        (-5 * 86_400, "in 5 days"),
    ],
)  # fmt: skip
def test_time_is_said_as_people_say_it(app: Flask, seconds: int, said: str) -> None:
    """Near now in words, both ways."""
    with app.app_context():
        assert rendering.ago(datetime.now(UTC) - timedelta(seconds=seconds)) == said


def test_from_two_weeks_on_the_day_is_said(app: Flask) -> None:
    """And machines are told in UTC, whatever zone it comes in."""
    with app.app_context():
        assert rendering.ago(AT) == "20 August 2019"
    assert rendering.iso(AT) == "2019-08-20T14:03:05+00:00"


def test_sizes_and_numbers() -> None:
    """Powers of a thousand, three digits; nothing known is a dash."""
    sizes = [0, 999, 1000, 1_234_567, 999_600, 3_100_000_000, 5 * 10**18, None]
    said = ["0 B", "999 B", "1 kB", "1.23 MB", "1 MB", "3.1 GB", "5 EB", "–"]
    assert [rendering.in_bytes(size) for size in sizes] == said
    assert rendering.number(1_558_000_000) == "1\u202f558\u202f000\u202f000"
    assert rendering.middle("0123456789abcdef0123456789abcdef") == "01234567…89abcdef"
    assert rendering.middle("short") == "short"


def test_waiting_is_never_said_too_short() -> None:
    """A minute that has begun counts."""
    said = {
        1: "1 second", 89: "89 seconds", 90: "2 minutes", 3600: "1 hour", 3601: "1 hour and 1 minute",
        7261: "2 hours and 2 minutes",
    }  # fmt: skip
    assert {seconds: rendering.wait(seconds) for seconds in said} == said


def test_paging_keeps_what_narrows_a_list() -> None:
    """Filters stay in the address, the cursor changes, and what is empty goes away."""
    args = MultiDict({"stage": "gpt-2/774M", "by": "", "cursor": "a b&c"})
    assert rendering.query(args, cursor="x=y&z") == "stage=gpt-2%2F774M&cursor=x%3Dy%26z"
    assert rendering.query(args, cursor=None) == "stage=gpt-2%2F774M"
