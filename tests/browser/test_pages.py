"""Every page in a real browser: axe finds nothing in either theme, it is light, fits a phone, and needs no mouse."""

import gzip
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from server.web import app as web
from tests.browser import keyboard, pages
from tests.browser.people import People
from tests.world import World

PAGES = pages.listed()
BYTES_AT_MOST = 100_000  # compressed, with style and scripts, without the chart library
CHART_LIBRARY = "/static/vendor/chart"
NARROW = (320, 640)  # pixels: a small phone, and 1280 with the zoom at 200 %
# Routes of the portal that answer a GET with a file, or lead on to a page.
FILES = {
    "/agreements/<name>/versions/<int:number>/text", "/agreements/signatures/<int:signature_id>/copy",
    "/admin/checkpoints/<checkpoint_id>/manifest", "/audit/log/<int:entry_id>", "/audit/log/<name>/<int:place>/proof",
    "/audit/log/<name>/<int:place>/record", "/downloads/<uuid:download_id>/proof",
    "/downloads/<uuid:download_id>/receipt", "/downloads/<uuid:download_id>/record", "/downloads/all.csv",
    "/help/check/offline", "/releases.atom", "/static/<path:name>",
    "/stages/<model>/<stage>/<checkpoint>/SHA256SUMS", "/stages/<model>/<stage>/<checkpoint>/manifest",
    "/stages/<model>/<stage>/<checkpoint>/manifest/chunks",
}  # fmt: skip
NOT_PORTAL = (
    "/api/",
    "/<model>/",
    "/datasets/",
    "/spaces/",
    "/v2/",
    "/s3-door/",
    "/client/",
    "/log/",
    "/healthz",
    "/.well-known/",
    "/readyz",
)
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
TOO_TALL = """() => [...document.querySelectorAll(".as-cards [data-label]")]
  .filter((cell) => cell.scrollHeight > cell.clientHeight + 1).map((cell) => cell.dataset.label)"""
LOADED = "performance.getEntriesByType('resource').map(one => one.name)"
SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((seen) => seen.getEntries().forEach((one) => (sum += one.value)))
    .observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""
EVERY_RULE: dict[str, Any] = {}
RULES_ABOUT_COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
axe = Axe()


@dataclass
class Seen:
    """What was found on one page."""

    status: int
    path: str  # of the address at which it was at last
    violations: dict[str, Any]  # by theme
    size_bytes: int
    overflow: dict[int, int]  # pixels, by width
    missed: list[str]  # by the keyboard
    too_tall: list[str]  # labels in cards that reach out of their rows


@pytest.fixture(scope="module")
def seen(everybody: People, known: dict[str, str]) -> dict[str, Seen]:
    """Every page, looked at once."""
    found: dict[str, Seen] = {}
    for who, group in pages.by_person():
        with everybody.at(who, None, viewport={"width": 1280, "height": 800}, reduced_motion="reduce") as page:
            for shown in group:
                found[shown.name] = _look(page, pages.go(everybody, page, shown, known))
    return found


def _look(page: Page, status: int) -> Seen:
    size_bytes = len(gzip.compress(page.content().encode())) + sum(map(_weight, page.evaluate(LOADED)))
    violations = {"light": _violations(page, EVERY_RULE)}
    page.emulate_media(color_scheme="dark")
    violations["dark"] = _violations(page, RULES_ABOUT_COLOURS)  # a theme changes nothing else
    missed, overflow, too_tall = keyboard.missed(page), {}, list[str]()
    for width in NARROW:
        page.set_viewport_size({"width": width, "height": 700})
        page.evaluate(pages.TWO_FRAMES)
        overflow[width] = int(page.evaluate(OVERFLOW))
        too_tall += page.evaluate(TOO_TALL)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    return Seen(status, urlsplit(page.url).path, violations, size_bytes, overflow, missed, too_tall)


def _violations(page: Page, rules: dict[str, Any]) -> list[tuple[str, list[str]]]:
    found = axe.run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


@cache
def _weight(address: str) -> int:
    if CHART_LIBRARY in address or address.startswith("data:"):
        return 0
    return len(gzip.compress(requests.get(address, timeout=20).content))


def test_every_page_is_in_the_table(sqlite_world: World) -> None:
    """A new page is looked at, in each theme and at each width, by axe and by us."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"development_mails": True})
    rules = web.create(world.use).url_map.iter_rules()
    asked = {rule.rule for rule in rules if "GET" in (rule.methods or ()) and not rule.rule.startswith(NOT_PORTAL)}
    assert {shown.rule for shown in PAGES} | FILES == asked
    assert len({shown.name for shown in PAGES}) == len(PAGES)


def test_every_page_is_answered_as_it_should_be(seen: dict[str, Seen], known: dict[str, str]) -> None:
    """With its own status, the refused ones with the one that says why; and it is the page that was meant."""
    assert {shown.name: seen[shown.name].status for shown in PAGES} == {shown.name: shown.status for shown in PAGES}
    wanted = {shown.name: shown.path.partition("?")[0].format(**known) for shown in PAGES}
    assert {name: one.path for name, one in seen.items()} == wanted


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(seen: dict[str, Seen], theme: str) -> None:
    """On any page, in either theme."""
    assert {name: one.violations[theme] for name, one in seen.items() if one.violations[theme]} == {}


def test_pages_are_light(seen: dict[str, Seen]) -> None:
    """At most 100 kB compressed, whatever is on them."""
    assert {name: one.size_bytes for name, one in seen.items() if not 0 < one.size_bytes <= BYTES_AT_MOST} == {}


@pytest.mark.parametrize("width", NARROW)
def test_no_page_scrolls_sideways(seen: dict[str, Seen], width: int) -> None:
    """Wide tables scroll in their own box."""
    assert {name: one.overflow[width] for name, one in seen.items() if one.overflow[width] > 0} == {}


def test_a_label_on_a_phone_stays_in_its_row(seen: dict[str, Seen]) -> None:
    """One of two lines makes the row taller, and does not reach into the next."""
    assert {name: one.too_tall for name, one in seen.items() if one.too_tall} == {}


def test_tab_reaches_everything_and_shows_where_it_is(seen: dict[str, Seen]) -> None:
    """In the page's order; a group of radio buttons is one stop, as browsers have it."""
    assert {name: one.missed for name, one in seen.items() if one.missed} == {}


def test_nothing_was_stopped_or_broken(seen: dict[str, Seen], everybody: People) -> None:
    """Chromium reports no violation of our policy and no error, on any of them."""
    assert len(seen) == len(PAGES)
    assert everybody.complaints == []


@pytest.mark.usefixtures("known")
def test_nothing_moves_when_charts_are_drawn(people: People) -> None:
    """What Chromium counts as layout shift stays far below the 0.1 that people notice."""
    with people.at("auditor", "/audit/charts", viewport={"width": 1280, "height": 800}) as page:
        page.locator(".chart-canvas canvas").nth(2).wait_for()  # they are drawn one after another
        assert page.evaluate(SHIFTED) < 0.02


def test_without_script_there_is_no_empty_place(people: People) -> None:
    """The tables are all there is."""
    with people.at("auditor", "/audit/charts", java_script_enabled=False) as page:
        assert page.locator(".chart-canvas").first.is_hidden()
        assert page.locator(".chart-numbers").first.is_visible()
