"""One demo and one Chromium for all tests of this folder that a process runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.browser import demo_portal, happenings
from tests.browser.people import People, browsing


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with demo_portal.running(tmp_path_factory.mktemp("browser") / "demo") as described:
        yield described


@pytest.fixture(scope="session")
def everybody(demo: dict[str, Any]) -> Iterator[People]:
    with sync_playwright() as playwright, browsing(playwright, demo) as people:
        yield people


@pytest.fixture(scope="session")
def known(demo: dict[str, Any]) -> dict[str, str]:
    """The ids that addresses need, of what has happened in the demo."""
    return happenings.happen(Path(demo["folder"]), demo)


@pytest.fixture
def people(everybody: People) -> Iterator[People]:
    """Whatever a test does, the browser has nothing to complain about: no error, nothing that our policy stopped."""
    yield everybody
    assert everybody.complaints == []
