"""Tokens: revoking anybody's."""

from flask import Blueprint, Response, url_for

from server.domain.callers import Caller
from server.domain.identity import organizations, people, tokens
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit.forms import Act, Form, carried_out, status
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_tokens", __name__, url_prefix="/admin/tokens")


@bp.get("/<public_id>/revoke")
@lab_page(Permission.ORGANIZATION_MANAGE)
def revoke_form(caller: Caller, public_id: str) -> Response:
    """What revoking does."""
    return _shown(caller, public_id, Act())


@bp.post("/<public_id>/revoke")
@lab_page(Permission.ORGANIZATION_MANAGE, fresh=True)
def revoke(caller: Caller, public_id: str) -> Response:
    """Make the token useless from its next request on."""
    use, form = resources(), Act()
    if not carried_out(form, caller, lambda: tokens.revoke(use, caller, public_id)):
        return _shown(caller, public_id, form)
    with use.database.reading() as session:
        home = organizations.of_id(session, caller, tokens.find(session, caller, public_id).organization_id)
    return done(url_for("admin_organizations.show", slug=home.slug), f"Token {public_id} has been revoked.")


def _shown(caller: Caller, public_id: str, form: Form) -> Response:
    with resources().database.reading() as session:
        token = tokens.find(session, caller, public_id)
        return render(
            "admin/tokens/revoke.html", status(form), form=form, token=token,
            organization=organizations.of_id(session, caller, token.organization_id),
            maker=people.by_id(session, caller, token.person_id),
        )  # fmt: skip
