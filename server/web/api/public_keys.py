"""The keys that outsiders verify with."""

from apiflask import APIBlueprint
from flask import Response

from server.web.api.answers import Answer, answer
from server.web.identity import open_to_all, resources

bp = APIBlueprint("public_keys", __name__, url_prefix="/api/v1", tag="keys")


class Keys(Answer):
    manifest_public_key: str


@bp.get("/keys")
@open_to_all
@bp.output(Keys)
def index() -> Response:
    """The public key of the manifests, as PEM."""
    return answer({"manifest_public_key": resources().manifest_public_key})
