"""The portal's door: who is signed in, what a page demands, and that a form is one of ours."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, flash, g, request, url_for
from flask_login import AnonymousUserMixin, LoginManager, UserMixin, current_user
from flask_wtf.csrf import CSRFError, CSRFProtect

from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired
from server.domain.identity import authentication
from server.domain.permissions import Permission, Role
from server.domain.resources import Resources
from server.storage import keys
from server.web.identity import resources, stranger
from server.web.portal.kit import cookies, freshness, kept_forms, limits
from server.web.portal.kit.freshness import require_fresh
from server.web.portal.kit.rendering import go_to

View = TypeVar("View", bound=Callable[..., Any])
CSRF_LIFETIME_SECONDS = 12 * 3600  # as long as the longest session

_csrf = CSRFProtect()


class Visitor(UserMixin):  # type: ignore[misc]
    """Somebody who is signed in, as flask-login knows them."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.id = caller.session_id


class Stranger(AnonymousUserMixin):  # type: ignore[misc]
    """Somebody who is not."""

    @property
    def caller(self) -> Caller:
        return stranger()


def register(app: Flask, use: Resources) -> None:
    """Let the app know its visitors: the session's secret in one cookie, forms' and messages' state in another."""
    app.config.update(
        SECRET_KEY=keys.derive(use.secret, "visitor"),
        SESSION_COOKIE_NAME=cookies.name(use, "visitor"),
        SESSION_COOKIE_SECURE=cookies.is_secure(use),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # the door checks, since only it knows which views are forms'
        WTF_CSRF_SSL_STRICT=False,  # pages whose address holds a secret send no referrer; the token alone tells
        WTF_CSRF_TIME_LIMIT=CSRF_LIFETIME_SECONDS,
    )
    app.session_interface = cookies.PortalCookie()
    _csrf.init_app(app)
    manager = LoginManager()
    manager.anonymous_user = Stranger
    manager.session_protection = None  # nothing is bound to the signed cookie: it opens nothing
    manager.request_loader(_load)
    manager.init_app(app, add_context_processor=False)  # it would look a visitor up for pages that must not need it
    freshness.register(app)
    limits.register(app, use)


def page(permission: Permission, *, fresh: bool = False, strangers: bool = False) -> Callable[[View], View]:
    """Let only visitors with this permission into a page, which receives them as `caller`.

    fresh: a POST also needs somebody who proved themselves in the last minutes. strangers: a session that no longer
    works is nobody's here, as on pages for everybody.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            caller = _whoever() if strangers else visitor()
            if caller.is_handed and permission is not Permission.ACCOUNT_MANAGE and request.method == "GET":
                return go_to(url_for("account.show"))  # first of all they replace what somebody else set up
            caller.require(permission)
            if request.method == "POST":
                if too_old := _fault_of_token():
                    return kept_forms.shown_again(lambda: view(*args, caller=caller, **kwargs), too_old)
                if fresh:
                    caller = require_fresh(caller)
            return view(*args, caller=caller, **kwargs)

        guarded.permission = permission  # type: ignore[attr-defined]
        guarded.fresh = fresh  # type: ignore[attr-defined]
        return guarded  # type: ignore[return-value]

    return decorate


def waiting_elsewhere(view: View) -> View:
    """Lead somebody whose role waits for a second admin, or whose account is not theirs alone, to their account."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        caller = current_user.caller
        waits = caller.role is Role.PENDING or caller.is_handed
        return go_to(url_for("account.show")) if waits else view(*args, **kwargs)

    return guarded  # type: ignore[return-value]


def public_page(view: View) -> View:
    """Declare a page for everybody, signed in or not; it receives whoever it is as `caller`.

    A session that no longer works is nobody's here: one must be able to sign in again, or out.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        caller = _whoever()
        if request.method == "POST" and (too_old := _fault_of_token()):
            return kept_forms.shown_again(lambda: view(*args, caller=caller, **kwargs), too_old)
        return view(*args, caller=caller, **kwargs)

    guarded.permission = None  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def visitor() -> Caller:
    """Whoever is looking. Raises the refusal of a session that no longer works."""
    caller: Caller = current_user.caller
    if (no := g.get("session_refused")) is not None:
        if isinstance(no, AuthenticationRequired) and request.method == "GET":
            flash(f"{no.detail} {no.next_step}", "info")
        raise no
    return caller


def _whoever() -> Caller:
    """The same, but that a session that no longer works is nobody's."""
    caller: Caller = current_user.caller
    return caller if g.get("session_refused") is None else stranger()


def _fault_of_token() -> CSRFError | None:
    """Why a form is not one of ours, or no longer; None where its token is right."""
    try:
        _csrf.protect()
    except CSRFError as fault:
        return fault
    return None


def _load(_: Any) -> Visitor | None:
    """flask-login's request loader: the row decides, at each request anew."""
    secret = request.cookies.get(cookies.name(resources(), "session"))
    if not secret:
        return None
    g.caller, no = authentication.identify_session(resources(), secret, stranger())
    if no is not None:
        g.session_refused = no
    return Visitor(g.caller) if g.caller.session_id is not None else None
