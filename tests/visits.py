"""Visits: the portal as a browser without script uses it: pages, links, and forms with the page's own token."""

import re
from datetime import timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from server.domain.callers import Caller
from server.domain.identity import sessions
from server.domain.identity.people import Person
from server.domain.identity.sessions import SignIn
from server.domain.resources import Resources

_CSRF = re.compile(r'name="csrf_token"[^>]* value="([^"]+)"')
FROM = Caller(via="anonymous", address="127.0.0.1", user_agent="tests")


class Visit:
    """One browser. `post` sends what a form of ours would, unknown fields and all."""

    def __init__(self, client: FlaskClient, use: Resources) -> None:
        self.client, self.use = client, use

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, headers={"Accept": "text/html"}, **more)

    def post(self, path: str, fields: dict[str, Any] | None = None, *, csrf: str | None = None) -> TestResponse:
        """Send a form; redirects are not followed. csrf: another token than the right one."""
        data = {"csrf_token": self.csrf_token if csrf is None else csrf, **(fields or {})}
        return self.client.post(path, data=data, headers={"Accept": "text/html"})

    @property
    def csrf_token(self) -> str:
        """From the form that every page has: signing out, or in."""
        for path in ("/", "/account", "/sign-in"):
            if found := _CSRF.search(self.get(path).text):
                return found[1]
        raise AssertionError("no page shows a form")

    def grow_stale(self) -> None:
        """Let the last proof of the person lie a while back."""
        with self.use.database.transaction() as session:
            session.execute(update(SignIn).values(proved_at=self.use.clock() - timedelta(minutes=6)))


def visit(app: Flask, use: Resources, email: str | None) -> Visit:
    """A browser that has signed in, without the pages for it: those are tested by themselves."""
    client = app.test_client()
    if email is not None:
        with use.database.transaction() as session:
            person = session.scalars(select(Person).where(Person.email == email)).one()
            secret = sessions.begin(session, FROM, person.id, "totp", use.clock())
        client.set_cookie("weightgate-session", secret)
    return Visit(client, use)


class _Fields(HTMLParser):
    """What the fields of a page's forms hold, by their names: as a browser would send them."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[str, list[str]] = {}
        self._name = ""  # of the textarea or select that is being read

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "input" and (known.get("type") not in {"checkbox", "radio"} or "checked" in known):
            self._hold(known.get("name", ""), known.get("value", ""))
        elif tag in {"textarea", "select"}:
            self._name = known.get("name", "")
        elif tag == "option" and "selected" in known:
            self._hold(self._name, known.get("value", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in {"textarea", "select"}:
            self._name = ""

    def handle_data(self, data: str) -> None:
        if self._name and self.lasttag == "textarea":
            self._hold(self._name, data.removeprefix("\r\n").removeprefix("\n"))

    def _hold(self, name: str, value: str) -> None:
        self.held.setdefault(name, []).append(value)


def fields_of(page: TestResponse) -> dict[str, list[str]]:
    """The values of each field that a page's forms hold."""
    read = _Fields()
    read.feed(page.text)
    return read.held


def words(page: TestResponse) -> str:
    """What a person reads of a page: no tags, each space once."""
    without = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page.text, flags=re.DOTALL)
    return " ".join(unescape(without).split())
