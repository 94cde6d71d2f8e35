"""From a signature to a revocation, in a real browser: a partner with nothing gets a file, and loses access again."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.demo_portal import until
from tests.browser.people import People

STAGE, FILE = "mini-gpt/base", "model.safetensors.index.json"
NEXT_MONTH = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


CLICKS_TO_SIGN_IN = 2  # after the password, and after the code
CLICKS_AT_MOST = 21  # of three people, from the first visit to the first byte


class Clicks:
    """A person's window in which each press is counted; typing is not."""

    def __init__(self, page: Page) -> None:
        self.page, self.count = page, CLICKS_TO_SIGN_IN

    def press(self, what: Locator) -> None:
        what.click()
        self.count += 1

    def button(self, name: str) -> None:
        self.press(self.page.get_by_role("button", name=name, exact=True))

    def place(self, name: str) -> None:
        self.press(self.page.get_by_role("navigation", name="Main places").get_by_role("link", name=name))

    def review(self, what: str) -> None:
        waiting = self.page.get_by_role("row").filter(has_text="Cedar Systems")
        self.press(waiting.get_by_role("link", name=re.compile(f"Review {what}")).first)


def test_a_partner_asks_signs_is_cleared_downloads_and_is_revoked(people: People, tmp_path: Path) -> None:
    """Each step by whoever must do it, where they are led to it: no address is typed, and every click is counted."""
    clicks = ask_and_sign(people) + countersign_and_propose(people) + approve(people) + download(people, tmp_path)
    assert clicks <= CLICKS_AT_MOST
    revoke(people)


def ask_and_sign(people: People) -> int:
    """Side by side, from the checklist on the home page; the signature waits for no decision."""
    with people.at("uncleared", "/") as page:
        clicks = Clicks(page)
        card = page.get_by_role("region", name=f"To do for {STAGE}")
        clicks.press(card.get_by_role("link", name="Request access"))
        expect(page.get_by_label(STAGE)).to_be_checked()
        page.get_by_label("What you need access for").fill("A study of bias\n\nin long texts.")
        expect(page.get_by_text("31 of 10,000 characters")).to_be_visible()
        page.get_by_label("Last day").fill(NEXT_MONTH)
        clicks.button("Send request")
        expect(page.get_by_text("waiting for the lab").first).to_be_visible()
        clicks.place("Home")
        clicks.press(card.get_by_role("link", name="Sign v1"))
        page.get_by_label("Your full name").fill("Carla Reyes")
        page.get_by_label("Your title").fill("Director of Research")
        page.get_by_label("Statement").fill("I sign for Cedar Systems")
        clicks.press(page.get_by_label("I have read the agreement"))
        clicks.button("Sign for Cedar Systems")
        expect(page.get_by_text("in force once the lab has countersigned").first).to_be_visible()
        return clicks.count


def countersign_and_propose(people: People) -> int:
    """Signing in leads to the queue, and the queue to both."""
    with people.at(None, None) as page:
        people.sign_in(page, "admin")
        clicks = Clicks(page)
        clicks.review("signature")
        clicks.button("Countersign")
        expect(page.get_by_text("in force", exact=True).first).to_be_visible()
        clicks.place("Queue")
        clicks.review("request")
        clicks.button("Approve request")
        expect(page.get_by_text("Another admin").first).to_be_visible()
        expect(page.get_by_role("button", name="Approve")).to_have_count(0)
        return clicks.count


def approve(people: People) -> int:
    """The second admin reads who asked and who proposed."""
    with people.at(None, None) as page:
        people.sign_in(page, "admin2")
        clicks = Clicks(page)
        clicks.review("clearance")
        expect(page.get_by_text(people.demo["people"]["uncleared"]["email"]).first).to_be_visible()
        clicks.button("Approve clearance")
        expect(page.get_by_text("active", exact=True).first).to_be_visible()
        return clicks.count


def download(people: People, folder: Path) -> int:
    """The browser's file is the lab's, byte for byte; then the page knows how much of it left the store."""
    with people.at("uncleared", "/", accept_downloads=True) as page:
        clicks = Clicks(page)
        card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="base", exact=True))
        clicks.press(card.get_by_role("link", name="Download"))
        with page.expect_download() as waiting:
            clicks.button(f"Download {FILE}")
        waiting.value.save_as(folder / FILE)
        assert waiting.value.suggested_filename == FILE
        source = Path(people.demo["sources"][STAGE]) / FILE
        assert _sha256(folder / FILE) == _sha256(source)
        until(lambda: page.goto(f"{people.endpoint}/downloads") and page.get_by_text("complete", exact=True).count())
        return clicks.count - CLICKS_TO_SIGN_IN  # they are still signed in


def revoke(people: People) -> None:
    with people.at("admin2", "/admin/clearances?organization=cedar-systems") as page:
        page.get_by_role("row").filter(has_text="active").get_by_role("link").first.click()
        page.get_by_role("link", name="Revoke").click()
        page.get_by_label("Reason").fill("The study has ended.")
        page.get_by_label("to confirm").fill("cedar-systems")
        page.get_by_role("button", name="Revoke clearance").click()
        expect(page.get_by_text("revoked", exact=True).first).to_be_visible()
    with people.at("uncleared", f"/stages/{STAGE}/main") as page:
        expect(page.get_by_role("heading", level=1)).to_contain_text("not cleared")
        expect(page.get_by_text("othing was downloaded").first).to_be_visible()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
