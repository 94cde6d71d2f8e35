"""Visits: the portal as a browser without script uses it: pages, links, and forms with the page's own token."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from server.domain import sessions
from server.domain.callers import Caller
from server.domain.people import Person
from server.domain.resources import Resources
from server.domain.sessions import SignIn

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
        for path in ("/", "/sign-in"):
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


def words(page: TestResponse) -> str:
    """What a person reads of a page: no tags, each space once."""
    without = re.sub(r"<(script|style)\b.*?</\1>|<[^>]+>", " ", page.text, flags=re.DOTALL)
    return " ".join(unescape(without).split())
