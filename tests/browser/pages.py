"""Every page of the portal, with who looks at it: for screenshots, for axe, and for the test that none is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from playwright.sync_api import Page

from tests.browser import happenings
from tests.browser.people import People

TABLE = Path(__file__).with_name("pages.txt")
NEW_APP, CONFIRM = "/account/totp", "/account/confirm"  # only after a button, only a while after one's last proof
KEPT = "/account/kept-form"  # only after a form that was sent without a session
AGES = timedelta(minutes=6)
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
DRAWN = "() => [...document.querySelectorAll('.chart-canvas')].every(one => one.firstChild)"  # their library comes late
SECOND_STEP = ("/sign-in/second-factor", "/sign-in/recovery-code")  # only after a password


@dataclass(frozen=True)
class Shown:
    """One page. name: of its screenshot; rule: the route; who: of the demo's people, None for nobody."""

    name: str
    rule: str
    who: str | None
    path: str
    status: int


def listed() -> list[Shown]:
    """All pages, as the table has them; paths are templates for what `happenings` returns."""
    lines = (line for line in TABLE.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
    rows = (line.split() for line in lines)
    return [Shown(row[0], row[1], None if row[2] == "nobody" else row[2], row[3], int(row[4])) for row in rows]


def by_person() -> list[tuple[str | None, list[Shown]]]:
    """The same, person by person."""
    ordered = sorted(listed(), key=lambda shown: shown.who or "")
    return [(who, list(group)) for who, group in groupby(ordered, key=lambda shown: shown.who)]


def go(people: People, page: Page, shown: Shown, known: dict[str, str]) -> int:
    """Open a page in a window, once it is as drawn as it gets; return the status it was answered with."""
    if shown.path in SECOND_STEP:
        people.give_password(page, "auditor")
    if shown.path == NEW_APP:
        page.goto(f"{people.endpoint}/account")
        page.get_by_role("button", name="Replace the app").click()
        page.wait_for_url(f"**{NEW_APP}")
    if shown.path == KEPT:
        _lose_the_session(people, page)
    with proofs_for(shown, known):
        answer = page.goto(people.endpoint + shown.path.format(**known))
        page.evaluate(TWO_FRAMES)
        page.wait_for_function(DRAWN)
    assert answer is not None
    return answer.status


@contextmanager
def proofs_for(shown: Shown, known: dict[str, str]) -> Iterator[None]:
    """Let everybody's last proof be as old as the page needs it, and fresh afterwards."""
    if shown.path == CONFIRM:
        happenings.let_proofs_be(Path(known["folder"]), AGES)
    yield
    if shown.path == CONFIRM:
        happenings.let_proofs_be(Path(known["folder"]), timedelta(0))


def _lose_the_session(people: People, page: Page) -> None:
    """Send a form after the session has ended, and be signed in again."""
    page.goto(f"{people.endpoint}/tokens/new")
    page.get_by_label("Name").fill("training cluster")
    page.get_by_label("30 days").check()
    sessions = [cookie for cookie in page.context.cookies() if cookie.get("name", "").endswith("-session")]
    page.context.clear_cookies(name=sessions[0]["name"])
    page.get_by_role("button", name="Create token").click()
    page.wait_for_url("**/sign-in**")
    page.context.add_cookies(sessions)  # type: ignore[arg-type]  # what was read is what is written
