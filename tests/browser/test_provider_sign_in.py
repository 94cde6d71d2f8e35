"""Sign-in by a real identity provider in a real browser: invited, in and out, linked, confirmed, and removed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page
from sqlalchemy import select

from server import settings
from server.domain.accounts import invitations
from server.domain.identity.people import sign_in_for_command
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.resources import Resources
from tests.browser.demo_portal import PROVIDER_NAME
from tests.browser.happenings import SECRET
from tests.browser.pages import TWO_FRAMES
from tests.browser.people import People
from tests.browser.test_passkeys import grow_stale
from tests.oidc_provider import PASSWORD

AXE = Axe()
STILL = {"reduced_motion": "reduce"}  # colors are looked at, and not on their way to others
PHONE = {"width": 320, "height": 640}


def at_the_provider(page: Page, login: str, *, second_factor: bool = True) -> None:
    """Type what the provider asks for. It has a page of its own, on another host."""
    page.wait_for_url("http://127.0.0.1:*/interaction/*")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Second factor").set_checked(second_factor)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url("http://localhost:*/**")


def looked_at(page: Page) -> None:
    """As every page: axe finds nothing in either theme, and it fits a phone."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if theme == "light" else "dark")
        assert AXE.run(page).response["violations"] == [], theme
    before = page.viewport_size
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]  # of the right shape
    page.evaluate(TWO_FRAMES)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.set_viewport_size(before or PHONE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="light")


def invited(people: People, email: str) -> str:
    """The address in the email that invites somebody to the cleared partner."""
    use = Resources(settings.load(Path(people.demo["folder"]), {}))
    try:
        owner = people.demo["people"]["cleared"]
        by = sign_in_for_command(use, owner["email"], owner["password"])
        invitations.invite(use, by, "aurora-institute", email, Role.MEMBER)
        with use.database.reading() as session:
            text = session.scalars(select(Mail.text).where(Mail.recipient == email)).one()
        return people.endpoint + "/invitations/" + str(SECRET.search(text)[1])  # type: ignore[index]
    finally:
        use.close()


def sign_out(page: Page) -> None:
    page.locator("summary").first.click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out").wait_for()


@pytest.fixture
def page(people: People) -> Iterator[Page]:
    """A browser in which nobody has been yet."""
    with people.at(None, None, **STILL) as page:
        yield page


def test_an_invited_person_comes_by_the_provider_and_comes_again(people: People, page: Page) -> None:
    """No password is ever typed here; the second time it is one button, and the provider's own page."""
    page.goto(invited(people, "ada@aurora-institute.example"))
    looked_at(page)
    page.get_by_role("button", name=f"Continue with {PROVIDER_NAME}").click()
    at_the_provider(page, "ada")
    page.get_by_role("heading", name="Welcome to Aurora Institute").wait_for()
    assert page.get_by_label("Your name").input_value() == "Ada Example"
    looked_at(page)
    page.get_by_role("button", name="Create my account").click()
    page.get_by_text("Your account is ready").wait_for()
    looked_at(page)
    sign_out(page)
    looked_at(page)
    page.get_by_role("button", name=f"Sign in with {PROVIDER_NAME}").click()
    page.get_by_role("navigation", name="Main places").wait_for()  # the provider still knows them


def test_an_identity_is_linked_signs_in_confirms_and_is_removed(people: People, page: Page) -> None:
    """By an admin, whose acts need a proof: given at the provider, with what was typed kept meanwhile."""
    with people.at("admin2", "/account", **STILL) as account:
        account.get_by_role("button", name=f"Link {PROVIDER_NAME}").click()
        if account.get_by_label("Code").is_visible():
            account.get_by_label("Code").fill(people.code("admin2"))
            account.get_by_role("button", name="Confirm and continue").click()
        at_the_provider(account, "bo")
        account.get_by_text(f"You can now sign in with {PROVIDER_NAME}").first.wait_for()
        looked_at(account)
    page.goto(f"{people.endpoint}/sign-in/with/lab?next=/admin/add-organization")
    page.get_by_role("button", name=f"Sign in with {PROVIDER_NAME}").click()
    at_the_provider(page, "bo")
    page.get_by_label("Name", exact=True).fill("Elm College")
    page.get_by_label("ID").fill("elm-college")
    grow_stale(people.demo)
    page.get_by_role("button", name="Add organization").click()
    page.get_by_role("heading", name="Confirm it’s you").wait_for()
    looked_at(page)
    page.get_by_role("button", name=f"Confirm with {PROVIDER_NAME}").click()
    at_the_provider(page, "bo")
    page.get_by_text("You confirmed that it’s you.").wait_for()
    looked_at(page)
    page.get_by_role("button", name="Return to the form").click()
    page.get_by_role("button", name="Add organization").click()
    page.get_by_role("heading", name="Elm College").wait_for()
    page.goto(f"{people.endpoint}/account")
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("Identity removed.").wait_for()


def test_without_a_second_factor_there_ours_is_asked_for(people: People, page: Page) -> None:
    """And somebody whom nobody has linked reads whom to ask."""
    with people.at("publisher", "/account", **STILL) as account:
        account.get_by_role("button", name=f"Link {PROVIDER_NAME}").click()
        if account.get_by_label("Code").is_visible():
            account.get_by_label("Code").fill(people.code("publisher"))
            account.get_by_role("button", name="Confirm and continue").click()
        at_the_provider(account, "cy")
        account.get_by_text(f"You can now sign in with {PROVIDER_NAME}").first.wait_for()
    page.goto(f"{people.endpoint}/sign-in")
    page.get_by_role("button", name=f"Sign in with {PROVIDER_NAME}").click()
    at_the_provider(page, "cy", second_factor=False)
    page.get_by_role("heading", name="Second factor").wait_for()
    page.get_by_label("Code").fill(people.code("publisher"))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("navigation", name="Main places").wait_for()
    with people.at(None, "/sign-in", **STILL) as stranger:
        stranger.get_by_role("button", name=f"Sign in with {PROVIDER_NAME}").click()
        at_the_provider(stranger, "dee")
        stranger.get_by_text("no account here is linked to that identity").wait_for()
        looked_at(stranger)


def test_who_cancels_at_the_provider_is_back_here(people: People, page: Page) -> None:
    """With a page that says so."""
    page.goto(f"{people.endpoint}/sign-in")
    page.get_by_role("button", name=f"Sign in with {PROVIDER_NAME}").click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("you cancelled, or it did not let you in").wait_for()
