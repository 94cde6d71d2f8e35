"""Security contact: whom to tell of a weakness (RFC 9116), where the settings name somebody."""

from datetime import timedelta

from flask import Blueprint, Response

from server.domain.errors import NotFound
from server.web.identity import open_to_all, resources

bp = Blueprint("security_contact", __name__)
PATH = "/.well-known/security.txt"
HOLDS_FOR = timedelta(days=180)  # from today on; RFC 9116, section 2.5.5, advises less than a year


@bp.get(PATH)
@open_to_all
def security_txt() -> Response:
    """The contact, until when it holds, and the address where this file is genuine (RFC 9116, section 2.5)."""
    use = resources()
    contact = use.settings.security_contact
    if contact is None:
        raise NotFound("This server names no security contact.")
    expires = (use.clock() + HOLDS_FOR).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = (
        f"Contact: {contact}",
        f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en",
        f"Canonical: {use.settings.public_url}{PATH}",
    )
    return Response("".join(f"{line}\n" for line in lines), content_type="text/plain; charset=utf-8")
