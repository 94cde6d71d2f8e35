"""Agreements: reading them, signing for one's organization, and what was signed when and by whom."""

from typing import Any

from flask import Blueprint, Response, request, url_for
from sqlalchemy.orm import Session
from wtforms import BooleanField, HiddenField
from wtforms.validators import AnyOf, InputRequired, Regexp

from server.domain.access import signatures, signed_copies
from server.domain.access.signatures import SHA256, Signature
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity import organizations, people
from server.domain.permissions import Permission
from server.domain.release import agreements
from server.domain.release.agreements import Agreement, AgreementVersion
from server.web.identity import resources
from server.web.portal.kit import paging
from server.web.portal.kit.auth import page
from server.web.portal.kit.forms import Form, status, text
from server.web.portal.kit.markdown import as_html
from server.web.portal.kit.rendering import done, render, saved

bp = Blueprint("agreement_pages", __name__, url_prefix="/agreements")


class Signing(Form):
    """Signing, for one's organization. version_sha256: of the text that stood on the page."""

    version_sha256 = HiddenField("The text's SHA-256", [InputRequired(), Regexp(SHA256.pattern + r"\Z")])
    signer_name = text("Your full name", 200)
    signer_title = text("Your title", 200, "The position in which you are authorized to sign for your organization.")
    statement = text("Statement", 300)
    read = BooleanField("I have read the agreement above and am authorized to sign it for my organization.",
                        [InputRequired("Confirm that you have read the agreement.")])  # fmt: skip

    def ask(self, organization: str) -> None:
        """Whose statement is to be typed, word for word."""
        wanted = signed_copies.statement_for(organization)
        self.statement.description = f"Type exactly: {wanted}"
        self.statement.validators = [*self.statement.validators, AnyOf([wanted], f"Type exactly: {wanted}")]


@bp.get("")
@page(Permission.AGREEMENT_READ)
def index(caller: Caller) -> Response:
    """Every agreement, and where one's organization stands with it."""
    with resources().database.reading() as session:
        found = agreements.current(session, paging.part())
        ids = [agreement_id for agreement_id, _, _ in found.items]
        mine = [] if caller.is_staff else signatures.of_agreements(session, caller, ids)
        rows = [
            (agreement, version, *signatures.standing(version, [s for s in mine if s.agreement_id == agreement.id]))
            for _, agreement, version in found.items
        ]
        titles = {agreement.id: (agreement.name, version.title) for agreement, version, *_ in rows}
        return render(
            "partner/agreements/index.html", rows=rows, signatures=list(reversed(mine)), titles=titles,
            args=request.args, next_cursor=paging.next_cursor(found),
        )  # fmt: skip


@bp.get("/<name>")
@page(Permission.AGREEMENT_READ)
def show(caller: Caller, name: str) -> Response:
    """The text that must be signed now, and the form to sign it."""
    form = Signing()
    with resources().database.reading() as session:
        _, version = agreements.find_version(session, name)
        form.ask(organizations.find(session, caller, caller.organization).name)
    form.version_sha256.data = version.sha256
    form.signer_name.data = caller.name
    return _shown(caller, name, form)


@bp.post("/<name>")
@page(Permission.AGREEMENT_SIGN)
def sign(caller: Caller, name: str) -> Response:
    """Sign for one's organization, the version that stood on the page."""
    form, signed = Signing(), None
    with resources().database.reading() as session:
        _, version = agreements.find_version(session, name)
        form.ask(organizations.find(session, caller, caller.organization).name)
    if form.is_sent_well():
        signed = form.attempt(
            caller,
            lambda: signatures.sign(
                resources(), caller, name, str(form.version_sha256.data), form.signer_name.data,
                form.signer_title.data, form.statement.data,
            ),
        )  # fmt: skip
    if signed is None:
        if form.version_sha256.data != version.sha256:  # they must read the new one: what they said was of the old one
            form.version_sha256.data, form.read.data = version.sha256, False
        return _shown(caller, name, form)
    return done(
        url_for("agreement_pages.signature", signature_id=signed.id),
        "Signed. The agreement is in force once the lab has countersigned.",
    )


@bp.get("/<name>/versions/<int:number>")
@page(Permission.AGREEMENT_READ)
def show_version(caller: Caller, name: str, number: int) -> Response:
    """One wording, also an older one."""
    del caller
    with resources().database.reading() as session:
        agreement, version = _version(session, name, number)
        others = agreements.versions(session, agreement)
    current = agreement.current_version_id == version.id
    return render(
        "partner/agreements/version.html", agreement=agreement, version=version, versions=others, current=current,
        text=as_html(version.text),
    )  # fmt: skip


@bp.get("/<name>/versions/<int:number>/text")
@page(Permission.AGREEMENT_READ)
def text_of(caller: Caller, name: str, number: int) -> Response:
    """The exact text, whose SHA-256 names the version."""
    del caller
    with resources().database.reading() as session:
        _, version = _version(session, name, number)
    return saved(version.text, "text/plain", f"{name}-v{number}.md")


@bp.get("/signatures/<int:signature_id>")
@page(Permission.AGREEMENT_READ)
def signature(caller: Caller, signature_id: int) -> Response:
    """What was signed, by whom, and what has become of it."""
    with resources().database.reading() as session:
        found = signatures.find(session, caller, signature_id)
        values = _about(session, caller, found)
    return render("partner/agreements/signature.html", signature=found, **values)


@bp.get("/signatures/<int:signature_id>/copy")
@page(Permission.AGREEMENT_READ)
def copy(caller: Caller, signature_id: int) -> Response:
    """The signed copy, byte for byte."""
    with resources().database.reading() as session:
        found = signatures.find(session, caller, signature_id)
    if found.document is None:
        raise NotFound("This was signed on paper. The lab has the document.", next_step="Ask {contact} for a copy.")
    return saved(found.document, "text/plain", f"signature-{signature_id}.txt")


def _version(session: Session, name: str, number: int) -> tuple[Agreement, AgreementVersion]:
    if number >= 2**31:  # it would be an error of the database, and not an answer
        raise NotFound(f"There is no version {number}.")
    return agreements.find_version(session, name, number)


def _about(session: Session, caller: Caller, found: Signature) -> dict[str, Any]:
    signer = None if found.signed_by is None else people.named(session, caller, [found.signed_by]).get(found.signed_by)
    agreement = session.get_one(Agreement, found.agreement_id)
    return {
        "signer": signer,
        "agreement": agreement,
        "standing": str(found.standing),
        "current": agreement.current_version_id == found.version_id,
    }


def _shown(caller: Caller, name: str, form: Signing) -> Response:
    with resources().database.reading() as session:
        agreement, version = agreements.find_version(session, name)
        mine = [] if caller.is_staff else signatures.of_agreements(session, caller, [agreement.id])
        standing, signed = signatures.standing(version, mine)
        organization = organizations.find(session, caller, caller.organization)
        others = agreements.versions(session, agreement)
    return render(
        "partner/agreements/show.html", status(form), form=form, agreement=agreement, version=version, versions=others,
        standing=str(standing), signature=signed, organization=organization, text=as_html(version.text),
        now=resources().clock(),
    )  # fmt: skip
