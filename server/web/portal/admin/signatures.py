"""Signatures: one with all that is needed to countersign it, and countersigning, declining, ending, recording."""

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import BooleanField, IntegerField, SelectField
from wtforms.validators import NumberRange, Optional

from server.domain.access import signatures
from server.domain.callers import Caller
from server.domain.identity import organizations
from server.domain.permissions import Permission
from server.domain.release import agreements
from server.web.identity import resources
from server.web.portal.admin.dossier import dossier_of
from server.web.portal.admin.lab import found, lab_page
from server.web.portal.kit.forms import Act, Form, carried_out, date, long_text, status, text
from server.web.portal.kit.rendering import done, render

bp = Blueprint("admin_signatures", __name__, url_prefix="/admin/signatures")
ONE = "/<int:signature_id>"


class Declining(Form):
    """Why not."""

    because = long_text("Reason", "Say what must change before they sign again.")


class PaperSignature(Form):
    """What stands on a paper that was signed."""

    organization = text("Organization", 64, "The organization's ID, for example aurora-institute.")
    agreement = SelectField("Agreement")
    number = IntegerField(
        "Version", [Optional(), NumberRange(1, 1_000_000, "A whole number from 1.")],
        description="The version that was signed. Leave empty for the current one.",
    )  # fmt: skip
    signer_name = text("Signing officer", 200, "As written on the document.")
    signer_title = text("Their title", 200, "As written on the document.")
    signed_on = date("Signed on", "The date on the document.")
    before_publication = BooleanField("It was signed before this version was published here")
    document_sha256 = text(
        "SHA-256 of the signed document", 64, "As printed by `sha256sum`. It identifies the document in the log."
    )


@bp.get("/record")
@lab_page(Permission.SIGNATURE_RECORD)
def record_form(caller: Caller) -> Response:
    """The form; arriving from an organization's page, it is named already."""
    del caller
    form = PaperSignature()
    form.organization.data = request.args.get("organization", "")[:64]
    return _recording(form)


@bp.post("/record")
@lab_page(Permission.SIGNATURE_RECORD, fresh=True)
def record(caller: Caller) -> Response:
    """Record, and by that countersign, what was signed on paper."""
    use, form, made = resources(), PaperSignature(), None
    with use.database.reading() as session:
        _offer(form, session)
        well = form.is_sent_well()
        well = well and found(form.organization, lambda: organizations.find(session, caller, form.organization.data))
        well = well and found(
            form.number, lambda: agreements.find_version(session, form.agreement.data, form.number.data)
        )
    if well:
        made = form.attempt(
            caller,
            lambda: signatures.record(
                use, caller, form.organization.data, form.agreement.data, signer_name=form.signer_name.data,
                signer_title=form.signer_title.data, signed_on=form.signed_on.data,
                before_publication=form.before_publication.data,
                document_sha256=form.document_sha256.data, number=form.number.data,
            ),
        )  # fmt: skip
    if made is None:
        return _recording(form)
    return done(_address(made.id), f"Signature {made.id} of {form.organization.data} is in force.")


@bp.get(ONE)
@lab_page(Permission.AGREEMENT_READ)
def show(caller: Caller, signature_id: int) -> Response:
    """One signature."""
    return _shown(caller, signature_id, Act(), Declining(formdata=None))


@bp.post(f"{ONE}/countersign")
@lab_page(Permission.SIGNATURE_RECORD, fresh=True)
def countersign(caller: Caller, signature_id: int) -> Response:
    """Put it into force."""
    form = Act()
    if not carried_out(form, caller, lambda: signatures.countersign(resources(), caller, signature_id)):
        return _shown(caller, signature_id, form, Declining(formdata=None))
    return done(_address(signature_id), f"Signature {signature_id} is in force.")


@bp.post(f"{ONE}/decline")
@lab_page(Permission.SIGNATURE_RECORD, fresh=True)
def decline(caller: Caller, signature_id: int) -> Response:
    """Refuse to countersign, and say why."""
    form = Declining()
    if not carried_out(form, caller, lambda: signatures.decline(resources(), caller, signature_id, form.because.data)):
        return _shown(caller, signature_id, Act(formdata=None), form)
    return done(_address(signature_id), f"Signature {signature_id} has been declined.")


@bp.get(f"{ONE}/end")
@lab_page(Permission.SIGNATURE_RECORD)
def end_form(caller: Caller, signature_id: int) -> Response:
    """What ending it does at once, and what it does not."""
    return _ending(caller, signature_id, Act())


@bp.post(f"{ONE}/end")
@lab_page(Permission.SIGNATURE_RECORD, fresh=True)
def end(caller: Caller, signature_id: int) -> Response:
    """From the next request on, the agreement counts as unsigned."""
    form = Act()
    if not carried_out(form, caller, lambda: signatures.end(resources(), caller, signature_id)):
        return _ending(caller, signature_id, form)
    return done(_address(signature_id), f"Signature {signature_id} has ended.")


def _shown(caller: Caller, signature_id: int, form: Act, declining: Declining) -> Response:
    use = resources()
    at = use.clock()
    with use.database.reading() as session:
        signature = signatures.find(session, caller, signature_id)
        agreement = signatures.agreement_of(session, signature)
        return render(
            "admin/signatures/show.html", max(status(form), status(declining)), form=form, declining=declining,
            signature=signature, agreement=agreement, now=at,
            is_current=agreement.current_version_id == signature.version_id,
            file=dossier_of(session, caller, signature.organization, at),
        )  # fmt: skip


def _ending(caller: Caller, signature_id: int, form: Act) -> Response:
    with resources().database.reading() as session:
        signature = signatures.find(session, caller, signature_id)
        agreement = signatures.agreement_of(session, signature)
        return render("admin/signatures/end.html", status(form), form=form, signature=signature, agreement=agreement)


def _recording(form: PaperSignature) -> Response:
    with resources().database.reading() as session:
        _offer(form, session)
        return render("admin/signatures/record.html", status(form), form=form)


def _offer(form: PaperSignature, session: Session) -> None:
    form.agreement.choices = {name: name for name in agreements.names(session)}


def _address(signature_id: int) -> str:
    return url_for("admin_signatures.show", signature_id=signature_id)
