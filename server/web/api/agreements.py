"""Reading agreements, and what one's own side signed of them."""

from typing import Annotated, Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server.domain.access import signatures
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.permissions import Permission
from server.domain.release import agreements
from server.domain.release.agreements import Agreement, AgreementVersion
from server.web.api.answers import Answer, Listing, ListQuery, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("agreements", __name__, url_prefix="/api/v1", tag="agreements")


class SignatureAnswer(Answer):
    id: int
    organization: str
    number: int
    signer_name: str
    signer_title: str
    signed_on: str
    document_sha256: str
    countersigned_at: str
    ended_at: str | None


class AgreementAnswer(Answer):
    name: str
    number: int
    title: str
    sha256: str
    published_at: str
    resign_until: Annotated[
        str | None,
        Field(description="Signatures of the version before count until then; null: they do not."),
    ]
    text: str
    signatures: list[SignatureAnswer]


class Agreements(Listing):
    items: list[AgreementAnswer]


@bp.get("/agreements")
@allow(Permission.AGREEMENT_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Agreements)
def index(caller: Caller, query: ListQuery) -> Response:
    """The current version of every agreement, with your organization's signatures; for staff, all signatures."""
    with resources().database.reading() as session:
        page = agreements.current(session, query.as_slice(), with_text=True)
        signed = signatures.of_agreements(session, caller, [row[0] for row in page.items])
        return listing(page, lambda row: _render(row[1], row[2], [s for s in signed if s.agreement_id == row[0]]))


def _render(agreement: Agreement, version: AgreementVersion, signatures: list[Signature]) -> dict[str, Any]:
    return {
        "name": agreement.name,
        "number": version.number,
        "title": version.title,
        "sha256": version.sha256,
        "published_at": moment(version.published_at),
        "resign_until": moment(version.resign_until),
        "text": version.text,
        "signatures": [_render_signature(signature) for signature in signatures],
    }


def _render_signature(signature: Signature) -> dict[str, Any]:
    return {
        "id": signature.id,
        "organization": signature.organization.slug,
        "number": signature.version.number,
        "signer_name": signature.signer_name,
        "signer_title": signature.signer_title,
        "signed_on": signature.signed_on.isoformat(),
        "document_sha256": signature.document_sha256,
        "countersigned_at": moment(signature.countersigned_at),
        "ended_at": moment(signature.ended_at),
    }
