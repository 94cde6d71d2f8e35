"""Charts in a real browser: they are drawn into a place that was kept for them, so nothing moves."""

import pytest

from tests.browser.people import People

SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((seen) => seen.getEntries().forEach((one) => (sum += one.value)))
    .observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => requestAnimationFrame(() => done(sum)));
})"""


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
