"""People at browsers: real Chromium, signed in as they would, with whatever it complains about written down."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyotp
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.browser.demo_portal import until
from tests.parts import BROWSER, missing

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
# Runs in every page before anything of ours: what the policy stopped is kept for the test to find.
WATCH = "addEventListener('securitypolicyviolation', e => console.error(`CSP ${e.violatedDirective} ${e.blockedURI}`))"


class People:
    """Everybody's browsers. A person signs in once: a code works once, and the next one comes half a minute later."""

    def __init__(self, browser: Browser, demo: dict[str, Any]) -> None:
        self.browser, self.demo = browser, demo
        self.endpoint: str = demo["endpoint"]
        self.complaints: list[str] = []
        self._states: dict[str, Any] = {}
        self._codes: dict[str, str] = {}

    @contextmanager
    def at(self, name: str | None, path: str | None = "/", **options: Any) -> Iterator[Page]:
        """A new browser window of a person of the demo (None: nobody) on a page (None: an empty one)."""
        state = None if name is None else self._state(name)
        with self._context(storage_state=state, **options) as context:
            page = context.new_page()
            if path is not None:
                page.goto(self.endpoint + path)
            yield page
            if name is not None:
                self._states[name] = context.storage_state()

    def sign_in(self, page: Page, name: str) -> None:
        """Type what is asked for, as the person."""
        self.give_password(page, name)
        page.get_by_label("Code").fill(self.code(name))
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("navigation", name="Main places").wait_for()

    def code(self, name: str) -> str:
        """What the person's app shows, once it is another one than before: none works twice."""
        codes, used = pyotp.TOTP(self.demo["people"][name]["totp_secret"]), self._codes.get(name)
        until(lambda: codes.now() != used, seconds=40)
        self._codes[name] = codes.now()
        return self._codes[name]

    def give_password(self, page: Page, name: str) -> None:
        """The first half of signing in."""
        person = self.demo["people"][name]
        page.goto(f"{self.endpoint}/sign-in")
        page.get_by_label("Email").fill(person["email"])
        page.get_by_label("Password").fill(person["password"])
        page.get_by_role("button", name="Sign in", exact=True).click()

    def _state(self, name: str) -> Any:
        if name not in self._states:
            with self._context() as context:
                self.sign_in(context.new_page(), name)
                self._states[name] = context.storage_state()
        return self._states[name]

    @contextmanager
    def _context(self, **options: Any) -> Iterator[BrowserContext]:
        context = self.browser.new_context(**options)
        context.set_default_timeout(15_000)
        context.add_init_script(WATCH)
        context.on("console", lambda said: self._listen(said.type, said.text))
        context.on("weberror", lambda error: self._listen("error", str(error.error)))
        try:
            yield context
        finally:
            context.close()

    def _listen(self, kind: str, text: str) -> None:
        # A page that answers 4xx is reported as an error by Chromium; the tests look at those themselves.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.complaints.append(text)


@contextmanager
def browsing(playwright: Playwright, demo: dict[str, Any]) -> Iterator[People]:
    """Start Chromium for the people of a demo."""
    if BROWSER is None:
        missing("browser")
    browser = playwright.chromium.launch(executable_path=BROWSER, args=list(ARGUMENTS))
    try:
        yield People(browser, demo)
    finally:
        browser.close()
