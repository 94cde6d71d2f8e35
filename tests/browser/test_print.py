"""Paper: what auditors print is the evidence, whole, and nothing that only a screen can use."""

from tests.browser import pages
from tests.browser.people import People

ON_SCREEN_ONLY = "nav:visible, form:visible, button:visible, .button:visible, .menu:visible, .bottom a:visible"
PAPER = {"width": 718, "height": 1000}  # pixels: A4 between its margins
CUT = """() => [...document.querySelectorAll(".table, main")]
  .filter((one) => one.scrollWidth > one.clientWidth || getComputedStyle(one).overflowX !== "visible").length"""
HASHES = """() => [...document.querySelectorAll(".short code")]
  .map((one) => JSON.parse(getComputedStyle(one, "::before").content))"""


def test_who_could_have_downloaded_is_printed_whole(people: People, known: dict[str, str]) -> None:
    """Black on white also in the dark theme; tables and hashes whole; of links, only the address to ask at."""
    (exposure,) = (shown for shown in pages.listed() if shown.name == "audit-exposure")
    with people.at("auditor", None, viewport=PAPER, color_scheme="dark") as page:
        assert pages.go(people, page, exposure, known) == 200
        assert page.locator("form.filters").is_visible()
        page.emulate_media(media="print")
        left = page.locator(ON_SCREEN_ONLY).evaluate_all("all => all.map((one) => one.getAttribute('href'))")
        assert [address for address in left if not str(address).startswith("mailto:")] == []
        assert page.get_by_role("heading", name="Who did").is_visible()
        assert page.locator(".table").count() >= 3
        assert page.evaluate(CUT) == 0
        hashes = page.evaluate(HASHES)
        assert hashes != []
        assert {len(each) for each in hashes} == {64}
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
