"""The door itself: who signed, what is asked, and who answers it.

Only the store's proxy comes here, and says so with a secret of the instance: what is answered to a GetObject is for it
alone. It sends the address as the client wrote it, after our own first segment.
"""

from collections.abc import Mapping

from flask import Blueprint, Flask, Response, g, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import PathConverter

from server.domain.callers import Caller
from server.domain.identity import authentication, s3_keys
from server.domain.identity.s3_keys import S3Key
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.storage.signed_requests import Request, Unsigned
from server.web.identity import resources, stranger
from server.web.s3 import addresses, buckets, listings, objects, refusals
from server.web.s3.refusals import Fault

bp = Blueprint("s3", __name__, url_prefix="/s3-door")
HEADER = "X-Weightgate-Door"
# What else may stand in an address: libraries name the operation, and ask for checksums that we do not have.
_OF_OBJECTS = frozenset({"x-id", "partNumber"})
_OF_LISTS = frozenset(
    {"list-type", "prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type", "marker",
     "fetch-owner", "x-id"}
)  # fmt: skip


class Anything(PathConverter):
    """What a client wrote, whatever it is."""

    regex = ".*?"
    part_isolating = False  # slashes, too


def register(app: Flask) -> None:
    """Let the address below be understood."""
    app.url_map.converters["anything"] = Anything


@bp.get("/<anything:address>")
def answer(address: str) -> Response:  # noqa: ARG001  # what was signed is its encoded form
    """Whatever is asked, by whoever signed it; writing never comes here."""
    use = resources()
    if use.settings.s3_door != "proxy" or not s3_keys.is_door(use, request.headers.get(HEADER, "")):
        raise NotFound
    try:
        return _answer(use)
    except (Fault, Unsigned) as fault:
        return refusals.of_fault(fault)


answer.permission = Permission.DOWNLOAD_CREATE  # type: ignore[attr-defined]  # as `_caller` asks


@bp.after_request
def name_request(response: Response) -> Response:
    response.headers["x-amz-request-id"] = g.request_id
    return response


def _answer(use: Resources) -> Response:
    target = str(request.environ["RAW_URI"]).removeprefix(str(bp.url_prefix))
    headers = {name.lower(): value for name, value in request.headers.items() if name != HEADER}
    key, asked = s3_keys.require_signed(use, Request(request.method, target, headers))
    caller = _caller(use, key)
    address = addresses.parse(asked.path, request.host, str(use.settings.s3_door_url))
    if not address.bucket:
        return buckets.index(use)
    if not address.key:
        return _of_bucket(use, caller, key, asked.query)
    _require_known(asked.query, _OF_OBJECTS)
    wanted = addresses.file_of(address.key)
    answering = objects.head if request.method == "HEAD" else objects.get
    return answering(use, caller, key, wanted, asked.query)


def _caller(use: Resources, key: S3Key) -> Caller:
    g.caller, refused = authentication.identify_s3_key(use, key, stranger())
    if refused is not None:
        raise refused
    caller: Caller = g.caller
    caller.require(Permission.DOWNLOAD_CREATE)
    return caller


def _of_bucket(use: Resources, caller: Caller, key: S3Key, query: Mapping[str, str]) -> Response:
    if request.method == "HEAD":
        return buckets.look()
    if query.keys() - {"x-id"} == {"location"}:
        return buckets.location()
    _require_known(query, _OF_LISTS)
    version = query.get("list-type", "1")
    if version not in {"1", "2"}:
        raise Fault("InvalidArgument", "list-type is 2, or not there.")
    return (listings.second if version == "2" else listings.first)(use, caller, key, query)


def _require_known(query: Mapping[str, str], known: frozenset[str]) -> None:
    if unknown := sorted(query.keys() - known):
        raise Fault("NotImplemented", f"This is not offered here: {unknown[0][:100]}.")
