"""Kept forms: what was typed outlives a form that is too old and a session that has ended. Nothing is done unseen."""

from collections.abc import Callable
from typing import Any

import orjson
from flask import Response, flash, g, make_response, request
from flask_wtf.csrf import CSRFError

from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import Kind
from server.domain.errors import LogUnavailable, TooManyAttempts
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable, WritingForbidden, nothing_is_written
from server.web.identity import resources
from server.web.portal.kit import cookies, limits
from server.web.portal.kit.limits import Limit

# What may stand beside a form's own fields: the token that shows it is ours, and the proof that an act may ask for.
ALWAYS_KNOWN = frozenset({"csrf_token", "proof_code", "proof_passkey", "proof_action", "proof_back"})
SECRETS = frozenset({"code", "answer"})  # besides passwords: good for one moment, and never stored
KEPT_BYTES_AT_MOST = 100_000
TOO_OLD = "This form was opened too long ago, or you have signed in again since. It was not sent."
SEND_AGAIN = "Check what you entered, then submit the form again."


def typed() -> list[tuple[str, str]]:
    """The fields of the form that was sent, but for passwords: those are never sent back."""
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in ALWAYS_KNOWN and "password" not in name
    ]


def shown_again(view: Callable[[], Any], too_old: CSRFError) -> Response:
    """Show a form once more, filled in, with a fresh token: 400. Raises `too_old` where the view shows none.

    The view finds the form not well sent. Whatever else it tries, nothing can be written meanwhile. Where it says that
    what the form is about is not there, or not theirs, that is the answer.
    """
    g.form_is_too_old, g.form_was_asked = True, False
    try:
        with nothing_is_written():
            response = make_response(view())
    except WritingForbidden:
        raise too_old from None
    if not g.form_was_asked or response.location is not None:  # another page would not say that nothing was sent
        raise too_old
    if response.status_code in {200, 422}:
        response.status_code = 400
    return response


def is_too_old() -> bool:
    """Whether the form of this request is only to be shown again."""
    g.form_was_asked = True
    return bool(g.get("form_is_too_old"))


def keep() -> bool:
    """Keep what was typed for the browser that sent it, until somebody has signed in there. Returns whether it is kept.

    Not of a form on another site, which would choose what somebody finds typed after signing in.
    """
    if not keep_as(request.full_path.rstrip("?"), typed()):
        return False
    flash("You were signed out, so the form was not sent. Sign in to continue: what you entered is kept.", "info")
    return True


def keep_as(action: str, typed: list[tuple[str, str]], *, confirmed: bool = False) -> bool:
    """The same of a form for `action`. confirmed: it waits for a proof that its sender gives elsewhere."""
    fields = [(name, value) for name, value in typed if value.strip() and name not in SECRETS]
    kept = orjson.dumps({"action": action, "fields": fields, "confirmed": confirmed})
    is_ours = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
    if not fields or not is_ours or len(kept) > KEPT_BYTES_AT_MOST:
        return False
    try:
        limits.count_here(Limit.FORM_OF_ADDRESS)
        cookies.keep_ceremony(Kind.KEPT_FORM, ceremonies.begin(resources(), Kind.KEPT_FORM, None, kept))
    except (TooManyAttempts, LogUnavailable, DatabaseUnavailable, *DATABASE_ERRORS):
        return False
    return True
