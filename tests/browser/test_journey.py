"""From a signature to a revocation, in a real browser: a partner with nothing gets a file, and loses access again."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.demo_portal import until
from tests.browser.people import People

MODEL, STAGE, FILE = "mini-gpt", "mini-gpt/base", "model.safetensors.index.json"
NEXT_MONTH = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_partner_signs_asks_is_cleared_downloads_and_is_revoked(people: People, tmp_path: Path) -> None:
    """Each step by whoever must do it, on the page where they are led to it."""
    sign(people)
    ask(people)
    countersign_and_propose(people)
    approve(people)
    download(people, tmp_path)
    revoke(people)


def decide(page: Page, what: str) -> None:
    waiting = page.get_by_role("row").filter(has_text="Cedar Systems")
    waiting.get_by_role("link", name=re.compile(f"Review {what}")).first.click()


def sign(people: People) -> None:
    with people.at("uncleared", "/agreements/model-sharing") as page:
        page.get_by_label("Your full name").fill("Carla Reyes")
        page.get_by_label("Your title").fill("Director of Research")
        page.get_by_label("Statement").fill("I sign for Cedar Systems")
        page.get_by_label("I have read the agreement").check()
        press(page, "Sign for Cedar Systems")
        expect(page.get_by_text("in force once the lab has countersigned").first).to_be_visible()


def ask(people: People) -> None:
    """From the ladder: the button beside the reason."""
    with people.at("uncleared", f"/stages/{STAGE}") as page:
        page.get_by_role("link", name="Request access").first.click()
        expect(page.get_by_label("Model")).to_have_value(MODEL)
        page.get_by_label("What you need access for").fill("A study of bias in long texts.")
        page.get_by_label("Last day").fill(NEXT_MONTH)
        press(page, "Send request")
        expect(page.get_by_text("waiting for the lab").first).to_be_visible()


def countersign_and_propose(people: People) -> None:
    """The queue leads to both."""
    with people.at("admin", "/admin/queue") as page:
        decide(page, "signature")
        press(page, "Countersign")
        expect(page.get_by_text("in force", exact=True).first).to_be_visible()
        page.goto(f"{people.endpoint}/admin/queue")
        decide(page, "request")
        press(page, "Approve request")
        expect(page.get_by_text("Another admin").first).to_be_visible()
        expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def approve(people: People) -> None:
    with people.at("admin2", "/admin/queue") as page:
        decide(page, "clearance")
        press(page, "Approve clearance")
        expect(page.get_by_text("active", exact=True).first).to_be_visible()


def download(people: People, folder: Path) -> None:
    """The browser's file is the lab's, byte for byte; then the page knows how much of it left the store."""
    with people.at("uncleared", f"/stages/{STAGE}/main", accept_downloads=True) as page:
        with page.expect_download() as waiting:
            page.get_by_role("button", name=f"Download {FILE}").click()
        waiting.value.save_as(folder / FILE)
        assert waiting.value.suggested_filename == FILE
        source = Path(people.demo["sources"][STAGE]) / FILE
        assert _sha256(folder / FILE) == _sha256(source)
        until(lambda: page.goto(f"{people.endpoint}/downloads") and page.get_by_text("complete", exact=True).count())


def revoke(people: People) -> None:
    with people.at("admin2", "/admin/clearances?organization=cedar-systems") as page:
        page.get_by_role("row").filter(has_text="active").get_by_role("link").first.click()
        page.get_by_role("link", name="Revoke").click()
        page.get_by_label("to confirm").fill("cedar-systems")
        page.get_by_role("button", name="Revoke clearance").click()
        expect(page.get_by_text("revoked", exact=True).first).to_be_visible()
    with people.at("uncleared", f"/stages/{STAGE}/main") as page:
        expect(page.get_by_role("heading", level=1)).to_contain_text("not cleared")
        expect(page.get_by_text("othing was downloaded").first).to_be_visible()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
