"""Find anything: one box for whatever somebody holds in their hand: a name, an id, the beginning of a hash."""

from flask import Blueprint, Response, url_for

from server.domain.audit import search
from server.domain.audit.search import CHARACTERS_AT_LEAST, Found, Thing
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.kit.auth import page
from server.web.portal.kit.filters import of_address, word
from server.web.portal.kit.forms import Form
from server.web.portal.kit.rendering import go_to, render

bp = Blueprint("search", __name__, url_prefix="/find")


class Wanted(Form):
    """What is looked for."""

    q = word("Name, ID or hash", render_kw={"type": "search"})


@bp.get("")
@page(Permission.LOG_READ)
def index(caller: Caller) -> Response:
    """The box; what was found; and straight to its page where it is one thing."""
    form: Wanted = of_address(Wanted)
    if not form.validate():
        return render("audit/search/index.html", 422, form=form, found=None)
    if not form.q.data:
        return render("audit/search/index.html", form=form, found=None)
    with resources().database.reading() as session:
        found = [(one, address(caller, one)) for one in search.find(session, resources(), caller, form.q.data)]
    if len(found) == 1 and found[0][1] is not None:
        return go_to(found[0][1])
    return render("audit/search/index.html", form=form, found=found, least=CHARACTERS_AT_LEAST)


def address(caller: Caller, found: Found) -> str | None:
    """Where a thing is shown to this caller; what has no page of its own is told in the list."""
    first, _, last = found.key.rpartition("/")
    match found.thing:
        case Thing.ORGANIZATION if caller.is_staff:
            return url_for("admin_organizations.show", slug=found.key)
        case Thing.PERSON if not caller.is_staff:
            return url_for("people_pages.show", person_id=found.key)
        case Thing.PERSON if caller.may(Permission.PERSON_MANAGE):
            return url_for("admin_people.show", person_id=found.key)
        case Thing.PERSON:
            return url_for("audit_log.index", person=found.detail)
        case Thing.STAGE:
            return url_for("stage_pages.show", model=first, stage=last)
        case Thing.TOKEN:
            return url_for("token_pages.show", public_id=found.key)
        case Thing.DOWNLOAD:
            return url_for("download_pages.show", download_id=found.key)
        case Thing.ENTRY:
            return url_for("audit_log.at_place", name=first, place=last)
        case Thing.CHECKPOINT:
            return url_for("admin_checkpoints.show", checkpoint_id=found.key)
        case Thing.AGREEMENT:
            endpoint = "admin_agreements.version" if caller.is_staff else "agreement_pages.show_version"
            return url_for(endpoint, name=first, number=last)
    return None
