"""Proposals: what one person proposed and may not do alone, and an admin lets happen or not."""

from flask import Blueprint, Response, request, url_for

from server.domain.callers import Caller
from server.domain.identity import proposals
from server.domain.operation import carrying_out
from server.domain.permissions import Permission
from server.web.identity import resources
from server.web.portal.admin.lab import lab_page
from server.web.portal.kit import paging
from server.web.portal.kit.forms import Act, Form, carried_out, status
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_proposals", __name__, url_prefix="/admin/proposals")
ONE = "/<int:proposal_id>"


@bp.get("")
@lab_page(Permission.PROPOSAL_READ)
def index(caller: Caller) -> Response:
    """All of them, newest first."""
    with resources().database.reading() as session:
        found = proposals.listed(session, caller, paging.part())
        return render("admin/proposals/index.html", page_of=found, args=request.args)


@bp.get(ONE)
@lab_page(Permission.PROPOSAL_READ)
def show(caller: Caller, proposal_id: int) -> Response:
    """One of them, with what it says."""
    return _shown(caller, proposal_id, Act())


@bp.post(f"{ONE}/approve")
@lab_page(Permission.PROPOSAL_APPROVE, fresh=True)
def approve(caller: Caller, proposal_id: int) -> Response:
    """Let it happen."""
    form = Act()
    if not carried_out(form, caller, lambda: carrying_out.approve(resources(), caller, proposal_id)):
        return _shown(caller, proposal_id, form)
    return done(url_for(".show", proposal_id=proposal_id), f"Proposal {proposal_id} is approved.")


@bp.post(f"{ONE}/reject")
@lab_page(Permission.PROPOSAL_CREATE, fresh=True)
def reject(caller: Caller, proposal_id: int) -> Response:
    """Close it for good; for its proposer, withdraw it."""
    form = Act()
    if not carried_out(form, caller, lambda: carrying_out.reject(resources(), caller, proposal_id)):
        return _shown(caller, proposal_id, form)
    return done(url_for(".show", proposal_id=proposal_id), f"Proposal {proposal_id} is closed. Nothing has changed.")


def _shown(caller: Caller, proposal_id: int, form: Form) -> Response:
    with resources().database.reading() as session:
        one = proposals.get(session, caller, proposal_id)
        model, _, stage = one.subject.partition("/")
        of_stage = url_for("admin_stages.show", model=model, stage=stage) if stage else None
        return render("admin/proposals/show.html", status(form), form=form, proposal=one, of_stage=of_stage)
