"""Rendering: from a template to a page, with what every page needs and the headers of pages."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
from flask import Flask, Response, current_app, flash, g, make_response, redirect, render_template, request
from flask_login import current_user
from sqlalchemy import select

from server import dates
from server.domain.callers import Caller
from server.domain.identity.organizations import Organization
from server.domain.operation import queue
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.logger import redact
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.web.identity import resources, stranger
from server.web.portal.kit import cards, entries, navigation, records

APPEARANCE_COOKIE = "appearance"
WAITING_SHOWN = 99
APPEARANCES = ("light", "dark", "system")
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def register(app: Flask, use: Resources) -> None:
    """Give templates their filters, and what stands on every page."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        ago=ago, alarm_in_words=records.ALARMS.get, bytes=in_bytes, day=dates.day, exact=dates.second,
        in_words=records.in_words, iso=iso, last_day=dates.last_day, middle=middle, number=number,
        query=query, wait=wait,
    )  # fmt: skip
    app.jinja_env.globals.update(
        contact=use.settings.contact, endpoint=use.settings.public_url, terms_url=use.settings.terms_url,
        public_releases=use.settings.public_releases, by_cloudfront=use.settings.delivery == "cloudfront",
        entry_address=entries.address, entry_place=entries.place,
    )  # fmt: skip
    navigation.register(app)
    app.context_processor(_on_every_page)
    app.extensions["weightgate_csp"] = content_security_policy(use)


def render(template: str, status: int = 200, **values: Any) -> Response:
    """Return a page. A page is never kept by anybody: what it shows may have changed, and is for one person."""
    return as_page(make_response(cards.labelled(render_template(template, **values)), status))


def as_page(response: Response) -> Response:
    """Give an answer the headers of a page."""
    response.headers["Content-Security-Policy"] = current_app.extensions["weightgate_csp"]
    # No page learns an address that is a secret, not even one of ours: the refusals of such addresses included.
    is_secret = "secret" in (request.view_args or {}) or _is_answer()
    response.headers["Referrer-Policy"] = "no-referrer" if is_secret else "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Permissions-Policy"] = (
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), "
        "publickey-credentials-create=(self), publickey-credentials-get=(self)"
    )
    return response


def told(fields: Mapping[str, Any], status: int) -> Response:
    """What a script of ours asked for."""
    return as_page(Response(orjson.dumps(fields), status, mimetype="application/json"))


def go_to(address: str) -> Response:
    """Send the browser on to another page of ours, whatever it asked for this one with."""
    return as_page(redirect(address, 303))  # type: ignore[arg-type]


def done(address: str, sentence: str) -> Response:
    """After an act: on to what has changed, with a sentence on it."""
    flash(sentence, "done")
    return go_to(address)


def saved(content: str | bytes | Iterator[str] | Iterator[bytes], mimetype: str, name: str) -> Response:
    """An answer that browsers save under this name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return as_page(Response(content, mimetype=mimetype, headers=headers))


def content_security_policy(use: Resources, uploads_to: str | None = None) -> str:
    """Ours alone, nothing inline; forms go to us, and on to where a download's POST is sent (303): the store, and
    CloudFront where it delivers.

    uploads_to: an origin that scripts may speak to besides us.
    """
    parts = [urlsplit(signer.origin) for signer in (use.store_signer, use.signer)]
    stores = " ".join(dict.fromkeys(f"{one.scheme}://{one.netloc}" for one in parts))
    speaks_to = ["'self'", *filter(None, [uploads_to])]
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        f"connect-src {' '.join(speaks_to)}; manifest-src 'self'; form-action 'self' {stores}; object-src 'none'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def iso(at: datetime) -> str:
    """For `<time datetime>`."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


def ago(at: datetime) -> str:
    """`3 hours ago`, `in 2 days`; from two weeks on the day itself."""
    seconds = (resources().clock() - at).total_seconds()
    away = abs(seconds)
    if away >= 14 * 86_400:
        return dates.day(at)
    if away < 45:
        return "just now" if seconds >= 0 else "in a moment"
    for size, word in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if away >= size or word == "minute":
            count = max(1, round(away / size))
            text = f"{count} {word}{'' if count == 1 else 's'}"
            return f"{text} ago" if seconds >= 0 else f"in {text}"
    raise AssertionError(away)


def in_bytes(count: int | None) -> str:
    """`1.2 GB`, in powers of a thousand; `–` for None."""
    if count is None:
        return "–"
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{size:.3g} {_UNITS[unit]}"


def number(count: int) -> str:
    """`1 558 000 000`, with thin spaces."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def middle(text: str, ends: int = 8) -> str:
    """A hash or an id, shortened in the middle."""
    return text if len(text) <= 2 * ends + 1 else f"{text[:ends]}…{text[-ends:]}"


def query(args: Mapping[str, Any], **changes: Any) -> str:
    """The part of an address after `?`: what it says now, with these changes; None takes a parameter away."""
    told = {**{name: args[name] for name in args}, **changes}
    return urlencode([(name, value) for name, value in told.items() if value not in {None, ""}])


def wait(seconds: int) -> str:
    """`40 seconds`, `3 hours and 20 minutes`: how long until something works again, never too short."""
    if seconds < 90:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    hours, minutes = divmod(-(-seconds // 60), 60)
    parts = [f"{count} {word}{'' if count == 1 else 's'}" for count, word in ((hours, "hour"), (minutes, "minute"))]
    return " and ".join(part for part, count in zip(parts, (hours, minutes), strict=True) if count)


def _on_every_page() -> dict[str, Any]:
    use = resources()
    looking = _looking()
    return {
        "caller": looking,
        "may": lambda permission: looking.may(Permission(permission)),  # whether to show a button
        "visitor": looking,  # the same: inside a call block, Jinja takes `caller` for the block's own caller
        "places": partial(navigation.places, looking),
        "queue_size": partial(_queue_size, looking),
        "appearance": appearance(),
        "lab": _lab_name(use),
        "request_id": g.request_id,
        "path": request.path,
        # One that holds a secret is refused, and not repeated.
        "address": "/" if _is_answer() else redact(request.full_path.rstrip("?")),
    }


def _is_answer() -> bool:
    """Whether an identity provider wrote the address of this page."""
    return request.endpoint == "provider_sign_in.come_back"


def appearance() -> str:
    """What the visitor chose: `light`, `dark`, or as their system has it."""
    chosen = request.cookies.get(APPEARANCE_COOKIE)
    return chosen if chosen in APPEARANCES else "system"


def _looking() -> Caller:
    try:
        caller: Caller = current_user.caller
    except (DatabaseUnavailable, *DATABASE_ERRORS):  # the page that says so must not need it
        return stranger()
    return caller


def _queue_size(looking: Caller) -> str:
    """How much waits in the queue of whoever looks, for the navigation: `7`, `99+`; nothing for nothing."""
    use = resources()
    try:
        with use.database.reading() as session:
            count = queue.size(session, looking, use.clock())
    except (DatabaseUnavailable, *DATABASE_ERRORS):
        return ""
    return "" if not count else str(count) if count < WAITING_SHOWN else f"{WAITING_SHOWN}+"


def _lab_name(use: Resources) -> str:
    """The lab's name, as people know it; asked once a request."""
    if "lab_name" not in g:
        try:
            with use.database.reading() as session:
                g.lab_name = session.scalar(select(Organization.name).where(Organization.is_lab)) or ""
        except (DatabaseUnavailable, *DATABASE_ERRORS):
            return ""
    name: str = g.lab_name
    return name
