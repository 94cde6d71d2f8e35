"""`make screenshots`: every page in light, in dark and on a phone. Run: python -m tests.browser.screenshots DIR."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import demo_portal, happenings, pages
from tests.browser.people import browsing

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}


def main() -> None:
    target = Path(sys.argv[1])
    with (
        tempfile.TemporaryDirectory() as folder,
        demo_portal.running(Path(folder) / "demo") as demo,
        sync_playwright() as playwright,
        browsing(playwright, demo) as people,
    ):
        known = happenings.happen(Path(folder) / "demo", demo)
        for look, options in LOOKS.items():
            (target / look).mkdir(parents=True, exist_ok=True)
            for who, group in pages.by_person():
                with people.at(who, None, **options) as page:
                    for shown in group:
                        pages.go(people, page, shown, known)
                        page.screenshot(path=target / look / f"{shown.name}.png", full_page=True)
            print(f"{target / look}: {len(pages.listed())} pages", flush=True)
        for complaint in people.complaints:
            print(f"the browser complains: {complaint}", file=sys.stderr)


if __name__ == "__main__":
    main()
