"""`make lighthouse`: what Lighthouse says of every page, on a phone. Run: python -m tests.browser.lighthouse [NAME …].

Exit 0: every figure is 95 or more; 1: one is not, or a page gave none.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from tests.browser import demo_portal, happenings, pages
from tests.browser.pages import Shown
from tests.browser.people import ARGUMENTS, People, browsing
from tests.parts import BROWSER
from tests.prepare import CACHE, node_packages

AT_LEAST = 95  # of 100
TRIES = 3  # the best counts: the page is judged, not what else the machine does
TIMEOUT_SECONDS = 180
PINNED = Path(__file__).with_name("lighthouse")
INSTALLED = CACHE / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
Figures = dict[str, int]  # by category


def installed() -> Path:
    """Install Lighthouse as the lock has it, unless it is there; return its program."""
    if not shutil.which("node") or not shutil.which("npm"):
        sys.exit("MISSING PART: node 18.16 or newer, with npm: nothing was measured.")
    node_packages(PINNED, INSTALLED)
    return INSTALLED / "node_modules" / "lighthouse" / "cli" / "index.js"


def judged(shown: Shown) -> tuple[str, ...]:
    """What a page is judged by. One that is an error by intention is not for search engines, which go by its status."""
    return CATEGORIES if shown.status < 400 else CATEGORIES[:-1]


def best_of(program: Path, people: People, page: Page, shown: Shown, known: dict[str, str]) -> tuple[Figures, str]:
    """The best figures of up to three tries, none where there never were any; and what the last one did not like."""
    best, complaint = Figures(), ""
    for _ in range(TRIES):
        figures, complaint = _try(program, people, page, shown, known)
        best = {name: max(figures[name], best.get(name, 0)) for name in figures} or best
        if best and min(best.values()) >= AT_LEAST:
            break
    return best, complaint


def _try(program: Path, people: People, page: Page, shown: Shown, known: dict[str, str]) -> tuple[Figures, str]:
    """Open the page as its person would, see that it is the one that was meant, and hand it over to Lighthouse."""
    folder = Path(known["folder"])
    happenings.let_proofs_be(folder, timedelta(0))
    if "{user_code}" in shown.path:
        known = known | {"user_code": happenings.another_login(folder)}
    if (status := pages.go(people, page, shown, known)) != shown.status:
        return {}, f"answered {status}"
    cookies = "; ".join(f"{one.get('name')}={one.get('value')}" for one in page.context.cookies())
    page.goto("about:blank")  # whatever the page goes on doing shall not disturb its twin
    with pages.proofs_for(shown, known):
        return _measure(program, people.endpoint + shown.path.format(**known), cookies, judged(shown))


def _measure(program: Path, address: str, cookies: str, categories: tuple[str, ...]) -> tuple[Figures, str]:
    """Run Lighthouse once. Returns its figures, or none; and the names of the audits that cost points, or the error."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as headers:
        json.dump({"Cookie": cookies} if cookies else {}, headers)
        headers.flush()
        command = [  # INT: node then ends its browser, too
            "timeout", "--signal=INT", str(TIMEOUT_SECONDS), "node", str(program), address, "--quiet", "--output=json",
            f"--only-categories={','.join(categories)}", f"--extra-headers={headers.name}", "--ignore-status-code",
            "--no-enable-error-reporting",
            f"--chrome-flags=--headless=new {' '.join(ARGUMENTS)}",
        ]  # fmt: skip
        environment = {**os.environ, "CHROME_PATH": str(BROWSER)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {}, f"Lighthouse ended with {done.returncode}: {done.stderr[-300:]}"
    return _read(json.loads(done.stdout), address)


def _read(report: dict[str, Any], address: str) -> tuple[Figures, str]:
    shown_at, audits = report["finalDisplayedUrl"], report["audits"]
    if urlsplit(shown_at).path != urlsplit(address).path:
        return {}, f"led on to {urlsplit(shown_at).path}"
    figures, lost = Figures(), list[str]()
    for name, category in report["categories"].items():
        if category["score"] is None:
            return {}, f"no figure for {name}"
        figures[name] = round(100 * category["score"])
        refs = [one["id"] for one in category["auditRefs"] if one["weight"]]
        lost += [one for one in refs if (audits[one]["score"] is not None and audits[one]["score"] < 0.9)]
    return figures, " ".join(lost)


def main() -> None:
    chosen, wrong = set(sys.argv[1:]), list[str]()
    if unknown := chosen - {shown.name for shown in pages.listed()}:
        sys.exit(f"not in {pages.TABLE.name}: {' '.join(sorted(unknown))}")
    program = installed()
    with (
        tempfile.TemporaryDirectory() as folder,
        demo_portal.running(Path(folder) / "demo") as demo,
        sync_playwright() as playwright,
        browsing(playwright, demo) as people,
    ):
        known = happenings.happen(Path(folder) / "demo", demo)
        print(f"{'page':36}{'  '.join(CATEGORIES)}", flush=True)
        for who, group in pages.by_person():
            with people.at(who, None) as page:
                for shown in (one for one in group if not chosen or one.name in chosen):
                    figures, complaint = best_of(program, people, page, shown, known)
                    line = [f"{figures.get(name, '-'):>{len(name)}}" for name in CATEGORIES]
                    print(f"{shown.name:36}{'  '.join(line)}  {complaint}".rstrip(), flush=True)
                    if not figures or min(figures.values()) < AT_LEAST:
                        wrong.append(shown.name)
    print(f"below {AT_LEAST} or without figures: {' '.join(wrong) or 'none'}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
