"""Identity: who calls, and what each view demands. A view that demands nothing must say so."""

import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar

from apiflask import HTTPError
from flask import Flask, Response, after_this_request, current_app, g, request
from werkzeug.exceptions import HTTPException

from server.domain.callers import Caller
from server.domain.errors import InvalidCredentials, InvalidRequest, Refused
from server.domain.identity import authentication, token_uses, tokens
from server.domain.identity.tokens import FORM, HUB_FORM
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.authority import Changed
from server.logger import redact
from server.text import printable
from server.web import doors
from server.web.doors import Door
from server.web.oci import credentials as oci_credentials
from server.web.requests import client_address

View = TypeVar("View", bound=Callable[..., Any])
_IDENTITY_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8}")
_QUERY_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "key", "authorization", "auth"})


class UndeclaredView(Exception):
    """A route does not say who may call it. The server does not start."""


def resources() -> Resources:
    """What this app works with."""
    use: Resources = current_app.extensions["weightgate"]
    return use


def stranger() -> Caller:
    """What is known of whoever sent this request before any credential was looked at."""
    trusted, door = resources().settings.trusted_proxies, doors.entered()
    return Caller(
        via="anonymous",
        address=client_address(request.remote_addr, request.headers.get("X-Forwarded-For", ""), trusted),
        user_agent=redact(printable(request.headers.get("User-Agent", ""), ""))[:300] or None,
        request_id=g.request_id,
        door=None if door is None else door.name.lower(),
    )


def allow(permission: Permission, *, issues: bool = False) -> Callable[[View], View]:
    """Let only callers with this permission into the view, which receives them as `caller`.

    issues: the view only issues, so what is kept of the token will do: the append checks it. Whatever else comes of it
    than a download, the view is asked again for the caller as they are now.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if issues:
                with suppress(Refused, HTTPException, HTTPError, Changed):  # each of them before anything is appended
                    return _by_what_is_kept(permission, lambda caller: view(*args, caller=caller, **kwargs))
            caller = _identified()
            note_use(caller)
            caller.require(permission)
            return view(*args, caller=caller, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        guarded.issues = issues  # type: ignore[attr-defined]  # a test names all that are
        return guarded  # type: ignore[return-value]

    return decorate


def open_to_all(view: View) -> View:
    """Declare that a view shows nothing that depends on who asks."""
    view.permission = None  # type: ignore[attr-defined]
    return view


def require_declared(app: Flask) -> None:
    """Raise UndeclaredView for the first route without `allow` or `open_to_all`."""
    for rule in app.url_map.iter_rules():
        if not hasattr(app.view_functions[rule.endpoint], "permission"):
            raise UndeclaredView(f"{rule.rule} ({rule.endpoint}) does not declare who may call it")


def refuse_credentials_in_the_address() -> None:
    """Addresses end up in histories and logs of every machine on the way: a token there is a leaked token."""
    sent = list(request.args.items(multi=True))
    named = any(name.lower() in _QUERY_NAMES for name, _ in sent)
    texts = [request.path, *(text for pair in sent for text in pair)]
    if named or any(FORM.search(text) or HUB_FORM.search(text) or _IDENTITY_TOKEN.search(text) for text in texts):
        raise InvalidRequest(
            "Do not put credentials in the URL.",
            next_step="Send the token as `Authorization: Bearer …`. Revoke this one, because others may have seen it.",
        )


def refuse_unread_queries() -> None:
    """A parameter that nobody reads, or of which only one is read, is a caller's mistake about what it asked for."""
    if not request.args:
        return
    door = doors.entered()
    if door is not None and door.repeats_its_queries:
        return
    if any(len(values) > 1 for _, values in request.args.lists()):
        raise InvalidRequest("A query parameter appears twice.")
    if request.endpoint is not None and door is not None and door.names_its_queries:
        view = current_app.view_functions[request.endpoint]
        if not getattr(view, "_spec", {}).get("args"):  # where APIFlask keeps what a view declares to read
            raise InvalidRequest("This address accepts no query parameters.")


def _by_what_is_kept(permission: Permission, view: Callable[[Caller], Any]) -> Any:
    """The view's answer to the caller by what is kept of their token. Raises whatever is to be found out anew."""
    caller = _identified(kept=True)
    caller.require(permission)
    answered = view(caller)
    note_use(caller)
    return answered


def _identified(*, kept: bool = False) -> Caller:
    """The caller of this request; every door but the portal takes tokens, and nothing else."""
    unknown = stranger()
    header = _authorization()
    if header is None:
        g.caller = unknown
        return unknown
    scheme, _, text = header.partition(" ")
    if FORM.search(header) and (scheme.lower() != "bearer" or not FORM.fullmatch(text.strip())):
        g.caller = unknown
        raise InvalidCredentials(
            "The Authorization header contains more than a token.",
            next_step="Send exactly `Authorization: Bearer wgk_…`: no quotes, no second `Bearer`, no other characters.",
        )
    if scheme.lower() != "bearer":
        g.caller = unknown
        raise InvalidCredentials("The Authorization header does not contain a bearer token.")
    g.caller, refused = authentication.identify(resources(), text.strip(), unknown, kept=kept)
    if refused is not None:
        raise refused
    caller: Caller = g.caller
    return caller


def _authorization() -> str | None:
    """The header as the API takes it, whichever form the door has for it."""
    header, door = request.headers.get("Authorization"), doors.entered()
    if header is not None and door is Door.HUB:
        return tokens.from_hub(header)
    if header is not None and door is Door.OCI:
        return oci_credentials.as_bearer(header)
    return header


def note_use(caller: Caller) -> None:
    """Have the token's use noted once the answer has left: nobody waits for it."""
    use = resources()
    if token_uses.is_due(use, caller):

        @after_this_request
        def note_later(response: Response) -> Response:
            response.call_on_close(lambda: token_uses.note(use, caller))
            return response


def known_caller() -> Caller:
    """Whom a refusal was given to, as far as that was found out before."""
    return g.get("caller") or stranger()
