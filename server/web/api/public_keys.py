"""The keys that outsiders verify with."""

from typing import Annotated

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from server.domain.audit import logs
from server.web.api.answers import Answer, answer
from server.web.identity import open_to_all, resources

bp = APIBlueprint("public_keys", __name__, url_prefix="/api/v1", tag="keys")


class Keys(Answer):
    """The keys of the current log, and of the manifests."""

    log_origin: str
    log_vkey: Annotated[str, Field(description="Signs the log's heads. C2SP signed-note verifier key.")]
    receipt_vkey: Annotated[str, Field(description="Signs the receipts. C2SP signed-note verifier key.")]
    manifest_public_key: Annotated[str, Field(description="PEM.")]


@bp.get("/keys")
@open_to_all
@bp.output(Keys)
def index() -> Response:
    """The public keys for verifying heads, receipts and manifests."""
    use = resources()
    with use.database.reading() as session:
        log = logs.current(session)
    return answer(
        {
            "log_origin": log.origin,
            "log_vkey": log.vkey,
            "receipt_vkey": log.receipt_vkey,
            "manifest_public_key": use.manifest_public_key,
        }
    )
