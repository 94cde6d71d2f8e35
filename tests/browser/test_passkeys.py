"""Passkeys in a real browser, with a device that Chromium plays: added, used to sign in, and used to confirm."""

from datetime import UTC, datetime, timedelta
from typing import Any

from playwright.sync_api import Page
from sqlalchemy import update

from server.domain.identity.sessions import SignIn
from server.storage.database import Database
from tests.browser.people import People

WHO = "publisher"


def plug_in(page: Page) -> None:
    """A device that is always touched, and unlocked."""
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    device = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    devices.send("WebAuthn.addVirtualAuthenticator", {"options": device})


def grow_stale(demo: dict[str, Any]) -> None:
    """Let every proof lie a while back."""
    database = Database(demo["database_url"])
    with database.transaction() as session:
        session.execute(update(SignIn).values(proved_at=datetime.now(UTC) - timedelta(minutes=6)))
    database.close()


def test_a_passkey_is_added_signs_in_alone_and_confirms(people: People) -> None:
    """No address, no password, no code is typed after it was added; and the page's policy stops none of it."""
    with people.at(WHO, "/account/passkeys/new") as page:
        plug_in(page)
        if page.get_by_role("button", name="Confirm and continue").is_visible():  # signed in a while ago
            page.get_by_label("Code").fill(people.code(WHO))
            page.get_by_role("button", name="Confirm and continue").click()
        page.get_by_label("Name").fill("the lab's laptop")
        page.get_by_role("button", name="Add a passkey").click()
        page.get_by_text("Passkey added.").wait_for()
        page.get_by_role("link", name="the lab's laptop", exact=True).wait_for()
        page.locator("summary").first.click()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_text("You are signed out").wait_for()
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_role("navigation", name="Main places").wait_for()
        grow_stale(people.demo)
        page.goto(f"{people.endpoint}/account/password")
        page.get_by_role("button", name="Confirm with a passkey").click()
        page.get_by_role("heading", name="Change password").wait_for()


def test_a_device_without_a_passkey_says_so_and_leaves_the_other_way(people: People) -> None:
    """In words, beside the button; the form with the password is still there."""
    with people.at(None, "/sign-in") as page:
        plug_in(page)
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.get_by_text("No passkey was used").wait_for()
        assert page.get_by_role("button", name="Sign in", exact=True).is_enabled()
        assert page.get_by_role("button", name="Sign in with a passkey").is_enabled()
