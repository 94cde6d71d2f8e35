"""Every page in a real browser: it is there, axe finds nothing, nothing is stopped by our policy, and it is light."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Response

from server.web import app as web
from tests.browser import happenings, pages
from tests.browser.pages import Shown
from tests.browser.people import People
from tests.world import World

PAGES = pages.listed()
BYTES_AT_MOST = 100_000  # compressed, with style and scripts, without the chart library
CHART_LIBRARY = "/static/vendor/chart"
# Routes of the portal that answer a GET with a file, not with a page.
FILES = {
    "/agreements/<name>/versions/<int:number>/text", "/agreements/signatures/<int:signature_id>/copy",
    "/admin/checkpoints/<checkpoint_id>/manifest", "/audit/log/<int:entry_id>/proof",
    "/audit/log/<int:entry_id>/record", "/downloads/<uuid:download_id>/proof", "/downloads/<uuid:download_id>/receipt",
    "/downloads/<uuid:download_id>/record", "/downloads/all.csv", "/static/<path:name>",
    "/stages/<model>/<stage>/<checkpoint>/SHA256SUMS", "/stages/<model>/<stage>/<checkpoint>/manifest",
    "/stages/<model>/<stage>/<checkpoint>/manifest/chunks",
}  # fmt: skip
NOT_PORTAL = ("/api/", "/log/", "/healthz", "/readyz")


@pytest.fixture(scope="module")
def known(demo: dict[str, Any]) -> dict[str, str]:
    return happenings.happen(Path(demo["folder"]), demo)


def test_every_page_is_in_the_table(sqlite_world: World) -> None:
    """A new page is looked at, in each theme and at each width, by axe and by us."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"development_mails": True})
    rules = web.create(world.use).url_map.iter_rules()
    asked = {rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.rule.startswith(NOT_PORTAL)}
    assert {shown.rule for shown in PAGES} | FILES == asked
    assert len({shown.name for shown in PAGES}) == len(PAGES)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(people: People, known: dict[str, str], theme: str) -> None:
    """On any page, in either theme; each is answered with the status that it should have."""
    found: dict[str, Any] = {}
    for shown in PAGES:
        with pages.opened(people, shown, known, color_scheme=theme) as (page, status):
            assert status == shown.status or shown.status == 303, (shown.name, status)
            violations = Axe().run(page).response["violations"]
            if violations:
                found[shown.name] = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in violations]
    assert found == {}


def test_pages_are_light(people: People, known: dict[str, str]) -> None:
    """At most 100 kB compressed, whatever is on them."""
    heavy = {}
    for shown in PAGES:
        size = _compressed(people, shown, known)
        if size > BYTES_AT_MOST:
            heavy[shown.name] = size
    assert heavy == {}


def _compressed(people: People, shown: Shown, known: dict[str, str]) -> int:
    answers: list[Response] = []
    with people.at(shown.who, None) as page:
        page.on("response", lambda answer: answers.append(answer))
        page.goto(people.endpoint + shown.path.format(**known))
        page.wait_for_load_state("networkidle")
        bodies = [one.body() for one in answers if one.status not in {303, 304} and CHART_LIBRARY not in one.url]
    return sum(len(gzip.compress(body)) for body in bodies)


@pytest.mark.parametrize("width", [320, 640])
def test_no_page_scrolls_sideways(people: People, known: dict[str, str], width: int) -> None:
    """At 320 px, and at 1280 px with the zoom at 200 %; wide tables scroll in their own box."""
    wide = []
    for shown in PAGES:
        with pages.opened(people, shown, known, viewport={"width": width, "height": 700}) as (page, _):
            if _overflow(page) > 0:
                wide.append((shown.name, _overflow(page)))
    assert wide == []


def _overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
