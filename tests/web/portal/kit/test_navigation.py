"""Navigation: whoever is shown a place may go there, and the table says what the pages demand."""

import re
from pathlib import Path
from typing import Any

import pytest

from server.domain.identity import people
from server.domain.permissions import EVERYONE, Role
from server.web import app as web
from server.web.portal.kit import navigation
from server.web.portal.kit.navigation import PLACES, Bar
from tests.visits import Visit, visit
from tests.world import World

TEMPLATES = Path(web.__file__).parent / "templates"
SAYS_ITS_PLACE = re.compile(r"\{% set place = (.*?) %\}")
# Mails are shown in development only, to whoever sits at the machine; help is at the foot of every page.
ANYWHERE = {"mails", "help"}


def somebody(world: World, role: Role) -> tuple[Visit, str]:
    """A person of the demo with this role; a member is added to it."""
    name = {Role.OWNER: "cleared", Role.MEMBER: "cleared"}.get(role, str(role))
    email = world.example.people[name]["email"]
    if role == Role.MEMBER:
        email = "member@aurora-institute.example"
        own = "their own password"
        people.add(world.use, world.person("cleared"), "aurora-institute", email, "A Member", Role.MEMBER, own)
    return visit(world.client.application, world.use, email), email


@pytest.mark.parametrize("role", sorted(EVERYONE))
def test_every_place_that_is_shown_opens(sqlite_world: World, role: Role) -> None:
    """For each role, in each bar; the page's own links to places are exactly those of the table."""
    browser, email = somebody(sqlite_world, role)
    caller = sqlite_world.person_of(email)
    app = sqlite_world.client.application
    shown = [place for bar in Bar for place in navigation.places(caller, bar)]
    assert len(shown) > 7
    with app.test_request_context():
        addresses = {place: app.url_for(place.endpoint) for place in PLACES}
    assert {place.label: browser.get(addresses[place]).status_code for place in shown} == {
        place.label: 200 for place in shown
    }
    header = browser.get("/").text.partition("</header>")[0]
    linked = set(re.findall(r'href="(/[^"]*)"', header.partition('<header class="top">')[2]))
    assert linked == {addresses[place] for place in shown if place.bar in {Bar.MAIN, Bar.MENU}}


def test_a_stranger_is_shown_no_place(sqlite_world: World) -> None:
    """Home is open to them, and what they are offered is to sign in."""
    header = sqlite_world.visit(None).get("/").text.partition("</header>")[0]
    assert set(re.findall(r'<a [^>]*href="(/[^"]*)"', header)) == {"/", "/sign-in"}


def test_the_bar_of_the_audit_is_for_who_audits(sqlite_world: World) -> None:
    """Partners and publishers read the log on the same page, and see nothing of it."""
    page = {name: sqlite_world.visit(name).get("/audit/log").text for name in ("auditor", "publisher", "cleared")}
    bars = {
        name: text.partition('<nav class="actions" aria-label="Audit">')[2].partition("</nav>")[0]
        for name, text in page.items()
    }
    assert bars["auditor"].count("<a ") == 7
    assert 'href="/audit/log" aria-current="page"' in bars["auditor"]
    assert bars["auditor"].count("aria-current") == 1
    assert bars["publisher"] == bars["cleared"] == ""


def test_the_table_says_what_each_page_demands(sqlite_world: World) -> None:
    """A view whose permission changes takes its place in the navigation along."""
    views: dict[str, Any] = dict(sqlite_world.client.application.view_functions)
    assert {place.endpoint: place.permission for place in PLACES} == {
        place.endpoint: views[place.endpoint].permission for place in PLACES
    }


def test_every_page_belongs_to_a_place() -> None:
    """What a template calls its place is one of the table, so that the bar can show where one is."""
    names = {place.name for place in PLACES}
    said = {
        name
        for path in TEMPLATES.rglob("*.html")
        for expression in SAYS_ITS_PLACE.findall(path.read_text(encoding="utf-8"))
        for name in re.findall(r'"(\w+)"', expression)
    }
    assert said == names | ANYWHERE
