"""One demo and one Chromium for all tests of this folder; they run in one process, in order."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import demo_portal
from tests.browser.people import People, browsing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A demo is started once, not once in each process."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with demo_portal.running(tmp_path_factory.mktemp("browser") / "demo") as described:
        yield described


@pytest.fixture(scope="session")
def everybody(demo: dict[str, Any]) -> Iterator[People]:
    with sync_playwright() as playwright, browsing(playwright, demo) as people:
        yield people


@pytest.fixture
def people(everybody: People) -> Iterator[People]:
    """Whatever a test does, the browser has nothing to complain about: no error, nothing that our policy stopped."""
    yield everybody
    assert everybody.complaints == []
