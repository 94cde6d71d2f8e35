"""Issuing downloads, and looking back at them."""

import base64
from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, request
from pydantic import Field
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotAcceptable

from server.domain.callers import Caller
from server.domain.delivery import deliveries
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download, Order
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import MAIN
from server.web import renamed
from server.web.api import aria2_input, curl_config, metalink
from server.web.api.answers import Answer, Body, Listing, ListQuery, answer, listing, moment
from server.web.identity import allow, resources

bp = APIBlueprint("downloads", __name__, url_prefix="/api/v1/downloads", tag="downloads")
JSON = "application/json"
# fail_fast: a fault each for half a million numbers would take seconds and 700 MB.
Paths = Annotated[
    list[Annotated[str, Field(max_length=512)]],
    Field(min_length=1, fail_fast=True, json_schema_extra={"uniqueItems": True}),  # `issuing` refuses what comes twice
]
# What other programs read in place of our JSON; in the order in which a caller gets one who likes several alike.
FORMS = {form.MIME_TYPE: form.render for form in (curl_config, metalink, aria2_input)}
TEXTS: dict[int | str, Any] = {201: {"content": {form: {"schema": {"type": "string"}} for form in FORMS}}}
PROOF: dict[int | str, Any] = {
    200: {"description": "tlog-proof.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


class DownloadOrder(Body):
    """What to issue URLs for."""

    stage: Annotated[str, Field(max_length=200, description="`model/stage`, like `gpt-2/774M`.")]
    checkpoint: Annotated[str, Field(max_length=40, description="A checkpoint ID, or `main` for the newest.")] = MAIN
    paths: Annotated[Paths | None, Field(description="Files of the checkpoint. Omit to get all files.")] = None


class RenewalOrder(Body):
    """Which files of the earlier download need fresh URLs."""

    paths: Annotated[Paths | None, Field(description="Files of that download. Omit to get all files.")] = None


class IssuedFile(Answer):
    path: str
    size_bytes: int
    sha256: str
    url: str


class Issued(Answer):
    id: str
    expires_at: Annotated[str, Field(description="When the URLs expire. Start transfers before this time.")]
    record: Annotated[str, Field(description="The log entry's exact text.")]
    salt: Annotated[
        str, Field(description="Base64. The entry's commitment is the SHA-256 of a prefix, the salt and the record.")
    ]
    receipt: Annotated[str, Field(description="A signed note: a promise that the entry will be in the log.")]
    files: list[IssuedFile]


class DownloadItem(Answer):
    id: str
    issued_at: str
    organization: str | None
    person: str | None
    token: str | None
    address: str | None
    stage: str
    checkpoint: Annotated[str | None, Field(description="Null where the record was archived.")]
    renews: str | None
    files: Annotated[int | None, Field(description="How many. Null where the record was archived.")]
    size_bytes: Annotated[int | None, Field(description="Null where the record was archived.")]
    archived: Annotated[
        bool,
        Field(
            description="The record has been archived. The download cannot be renewed; its proof is still available."
        ),
    ]
    delivered_bytes: Annotated[int | None, Field(description="Null until the store's access log has been read.")]


class Downloads(Listing):
    items: list[DownloadItem]


@bp.post("")
@allow(Permission.DOWNLOAD_CREATE, issues=True)
@bp.input(DownloadOrder, arg_name="order")
@bp.output(Issued, status_code=201)
@bp.doc(responses=TEXTS)
def create(caller: Caller, order: DownloadOrder) -> Response:
    """Issue signed URLs. `Accept` can ask for a config for `curl -K -`, a Metalink or an input file for aria2."""
    form = _wanted_form()
    issued = issuing.issue(resources(), caller, Order(order.stage, order.checkpoint, order.paths))
    renamed.tell(order.stage, issued.stage)
    return _render(issued, form)


@bp.post("/<uuid:download_id>/urls")
@allow(Permission.DOWNLOAD_CREATE)
@bp.input(RenewalOrder, arg_name="order")
@bp.output(Issued, status_code=201)
@bp.doc(responses=TEXTS)
def renew(caller: Caller, download_id: UUID, order: RenewalOrder) -> Response:
    """New URLs for files of an earlier download. This is a new download, checked and logged again."""
    form = _wanted_form()
    return _render(issuing.renew(resources(), caller, str(download_id), order.paths), form)


@bp.get("")
@allow(Permission.DOWNLOAD_READ)
@bp.input(ListQuery, location="query", arg_name="query")
@bp.output(Downloads)
def index(caller: Caller, query: ListQuery) -> Response:
    """Your organization's downloads, newest first; for staff, all downloads."""
    with resources().database.reading() as session:
        found = issuing.visible(session, caller, query.as_slice())
        sent = deliveries.fetched_bytes(session, [record["download"] for record in found.items])
    return listing(found, lambda record: _render_item(record, sent.get(record["download"])))


@bp.get("/<uuid:download_id>/proof")
@allow(Permission.DOWNLOAD_READ)
@bp.doc(responses=PROOF)
def proof(caller: Caller, download_id: UUID) -> Response:
    """Proof that the entry is in the log (C2SP tlog-proof). Returns 404 with Retry-After until it is sealed."""
    with resources().log_reading.newest() as session:
        text = issuing.proof(session, caller, str(download_id))
    return Response(text, mimetype="text/plain")


def _wanted_form() -> str:
    """Which form the caller accepts; asked before anything is issued."""
    # Without parameters: `application/json; charset=utf-8` means JSON as well.
    accepted = MIMEAccept([(kind.partition(";")[0].strip(), quality) for kind, quality in request.accept_mimetypes])
    form = accepted.best_match([JSON, *FORMS]) if accepted else JSON
    if form is None:
        raise NotAcceptable
    return form


def _render(download: Download, form: str) -> Response:
    if form in FORMS:
        text = FORMS[form](zip(download.files, download.urls, strict=True))
        return Response(text, status=201, mimetype=form, headers={"X-Download-Id": download.id})
    return answer(
        {
            "id": download.id,
            "expires_at": moment(download.expires_at),
            "record": download.entry.record.decode(),
            "salt": base64.b64encode(download.entry.salt).decode(),
            "receipt": download.receipt.decode(),
            "files": [
                {"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256, "url": url}
                for file, url in zip(download.files, download.urls, strict=True)
            ],
        },
        201,
    )


def _render_item(record: dict[str, Any], delivered_bytes: int | None) -> dict[str, Any]:
    actor, files = record["actor"], record.get("files")
    return {
        "id": record["download"],
        "issued_at": moment(issuing.issued_at(record)),
        "organization": actor.get("organization"),
        "person": actor.get("person"),
        "token": actor.get("token"),
        "address": actor.get("address"),
        "stage": f"{record['model']}/{record['stage']}",
        "checkpoint": record.get("checkpoint"),
        "renews": record.get("renews"),
        "files": None if files is None else len(files),
        "size_bytes": None if files is None else sum(file["size_bytes"] for file in files),
        "archived": record.get("archived", False),
        "delivered_bytes": delivered_bytes,
    }
