"""Cookies: the session's secret in one of its own; what forms, messages and ceremonies need in another, signed.

By a third, sealed, a browser is known again for those who have signed in with it.
"""

import secrets
from datetime import timedelta

import orjson
from flask import Flask, Request, Response, request, session
from flask.globals import request_ctx
from flask.sessions import SecureCookieSessionInterface, SessionMixin

from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.sign_in import SignedIn
from server.domain.identity import email_addresses, sessions
from server.domain.resources import Resources
from server.storage import keys
from server.storage.keys import KeyFileError
from server.web import doors
from server.web.identity import resources

DEVICE_KNOWN_FOR = timedelta(days=180)
ACCOUNTS_OF_DEVICE = 3  # who share a browser: the last ones to sign in


class PortalCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, for pages alone: no other door takes one, and its requests do not pay for one."""

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:  # type: ignore[override]  # as its base
        if request_ctx.url_adapter is not None:
            request_ctx.match_request()  # Flask does so only later
        if not doors.is_for_people():
            return self.make_null_session(app)
        return super().open_session(app, request)


def name(use: Resources, which: str) -> str:
    """What a cookie is called: with the prefix a browser takes it from this host alone, over TLS."""
    return f"__Host-{which}" if is_secure(use) else f"weightgate-{which}"


def is_secure(use: Resources) -> bool:
    return use.settings.public_url.startswith("https://")


def give(response: Response, signed_in: SignedIn) -> None:
    """Give the browser its session, for as long as that can last."""
    use = resources()
    response.set_cookie(
        name(use, "session"), signed_in.secret, path="/", secure=is_secure(use), httponly=True, samesite="Lax",
        max_age=int(sessions.limits_of(signed_in.role).absolute.total_seconds()),
    )  # fmt: skip


def give_first(response: Response, signed_in: SignedIn) -> None:
    """The same at sign-in. What the visitor's cookie held before is forgotten, so that nobody can plant it.

    But for a form that was kept: it is only shown, and whoever plants one gains what a link to a form gives them.
    """
    kept = ceremony(Kind.KEPT_FORM)
    session.clear()
    if kept is not None:
        keep_ceremony(Kind.KEPT_FORM, kept)
    give(response, signed_in)
    _remember_device(response, signed_in.email)


def device_of(email: str) -> str | None:
    """The name of this browser, if this account has signed in with it; None otherwise. It opens nothing."""
    device, accounts = _device()
    return device if email_addresses.folded(email) in accounts else None


def _remember_device(response: Response, email: str) -> None:
    """Name the browser if it has no name yet, and let it keep, sealed, who signed in with it."""
    use = resources()
    device, accounts = _device()
    known = [email, *(other for other in accounts if other != email)][:ACCOUNTS_OF_DEVICE]
    until = int((use.clock() + DEVICE_KNOWN_FOR).timestamp())
    content = orjson.dumps([device or secrets.token_urlsafe(16), known, until])
    response.set_cookie(
        name(use, "device"), keys.seal(use.secret, "device", content).decode(), path="/", secure=is_secure(use),
        httponly=True, samesite="Lax", max_age=int(DEVICE_KNOWN_FOR.total_seconds()),
    )  # fmt: skip


def _device() -> tuple[str | None, list[str]]:
    """What the cookie says, if it is ours and still holds."""
    use = resources()
    sealed = request.cookies.get(name(use, "device"), "")
    try:
        device, accounts, until = orjson.loads(keys.unseal(use.secret, "device", sealed.encode()))
    except KeyFileError:
        return None, []
    return (device, accounts) if use.clock().timestamp() < until else (None, [])


def take(response: Response) -> None:
    """Take the browser's session away; that it has ended is written where it counts, in its row."""
    session.clear()
    use = resources()
    response.delete_cookie(name(use, "session"), path="/", secure=is_secure(use), httponly=True, samesite="Lax")


def keep_ceremony(kind: str, secret: str) -> None:
    """Let the browser hold a ceremony's secret: only it can go on with what it began."""
    session[f"ceremony-{kind}"] = secret


def drop_ceremony(kind: str) -> None:
    session.pop(f"ceremony-{kind}", None)


def ceremony(kind: str) -> str | None:
    secret = session.get(f"ceremony-{kind}")
    return secret if isinstance(secret, str) else None
