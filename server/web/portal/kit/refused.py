"""Refused: what a person reads when the answer is no: what happened, what did not, what to do now, whom to ask."""

from typing import Any

from flask import Response, current_app, request, url_for
from jinja2 import TemplateNotFound

from server.web.portal.kit.rendering import go_to, render


def page(status: int, code: str, **parts: Any) -> Response:
    """The page of a refusal: `errors/<code>.html` where one has more to say than the general one.

    parts: title, detail, next_step, and wait_seconds where waiting helps.
    """
    name = f"errors/{code}.html"
    try:
        current_app.jinja_env.get_template(name)
    except TemplateNotFound:
        name = "errors/refusal.html"
    return render(name, status, code=code, **parts)


def to_sign_in() -> Response:
    """Ask whoever is not signed in to do so, and bring them back here; or to the form that is kept for them."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else url_for("kept_forms.show")
    return go_to(url_for("sign_in.form", next=wanted))


def local_path(wanted: str | None) -> str:
    """Where to go next: an address of ours, else home. A browser reads `//host` and `/\\host` as another host's."""
    if not wanted or not wanted.startswith("/") or wanted[1:2] in {"/", "\\"} or len(wanted) > 2000:
        return "/"
    if "\\" in wanted or any(ord(character) <= 32 or ord(character) == 127 for character in wanted):
        return "/"
    return wanted
