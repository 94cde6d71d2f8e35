"""Objects: GetObject is decided and logged here and streamed by the store's proxy; HeadObject reads nothing.

An ETag is the file's SHA-256, and whether a request's conditions hold is decided here: the store knows neither.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from flask import Response, request
from werkzeug.http import http_date

from server.domain.callers import Caller
from server.domain.downloads import keyed_downloads
from server.domain.downloads.keyed_downloads import KeyedFile, Seen
from server.domain.identity.s3_keys import S3Key
from server.domain.resources import Resources
from server.web.s3.refusals import Fault

INTERNAL = "/weightgate-store"  # where the proxy finds the store, and nobody from outside
TYPE = "binary/octet-stream"
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def get(use: Resources, caller: Caller, key: S3Key, wanted: KeyedFile, query: Mapping[str, str]) -> Response:
    """GetObject: an answer that the proxy replaces with the file's bytes."""
    seen = keyed_downloads.look(use, caller, key, wanted)
    response, asked = _described(seen, query)
    if response.status_code == 304:
        return response
    url = keyed_downloads.fetch(use, caller, key, seen)
    path = url.removeprefix(use.store_signer.origin)
    to_proxy = Response(status=200, headers={"X-Accel-Redirect": f"{INTERNAL}{path}"}, content_type=TYPE)
    to_proxy.headers["X-Door-ETag"] = response.headers["ETag"]
    to_proxy.headers["X-Door-Modified"] = response.headers["Last-Modified"]
    to_proxy.headers["X-Door-Range"] = "" if asked is None else f"bytes={asked[0]}-{asked[1]}"
    return to_proxy


def head(use: Resources, caller: Caller, key: S3Key, wanted: KeyedFile, query: Mapping[str, str]) -> Response:
    """HeadObject."""
    return _described(keyed_downloads.look(use, caller, key, wanted), query)[0]


def _described(seen: Seen, query: Mapping[str, str]) -> tuple[Response, tuple[int, int] | None]:
    """What is said of a file without reading it, and which bytes of it are asked for, if not all."""
    etag, at, size = f'"{seen.file.sha256}"', seen.listed.created_at.replace(microsecond=0), seen.file.size_bytes
    headers = {"ETag": etag, "Last-Modified": http_date(at), "Accept-Ranges": "bytes"}
    if not _is_changed(seen.file.sha256, at):
        return Response(status=304, headers=headers), None
    if query.get("partNumber", "1") != "1":
        raise Fault("InvalidRange", "Every file here is one part.")
    asked = _range(request.headers.get("Range", ""), size) if _range_holds(etag) else None
    response = Response(status=200 if asked is None else 206, headers=headers, content_type=TYPE)
    response.content_length = size if asked is None else asked[1] - asked[0] + 1
    if asked is not None:
        response.headers["Content-Range"] = f"bytes {asked[0]}-{asked[1]}/{size}"
    return response, asked


def _is_changed(sha256: str, at: datetime) -> bool:
    """Whether the file is to be sent, by the request's conditions (RFC 9110, section 13.2.2). Raises Fault."""
    failed = Fault("PreconditionFailed", "The file is not the one that the request's condition names.")
    if "If-Match" in request.headers:
        if not request.if_match.contains(sha256):
            raise failed
    elif request.if_unmodified_since is not None and at > request.if_unmodified_since:
        raise failed
    if "If-None-Match" in request.headers:
        return not request.if_none_match.contains_weak(sha256)
    return request.if_modified_since is None or at > request.if_modified_since


def _range_holds(etag: str) -> bool:
    return request.headers.get("If-Range", etag) == etag


def _range(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte that are asked for; None for all: no range, or not one of a single part. Raises Fault."""
    found = _RANGE.fullmatch(header)
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        first, last = max(size - int(found[2]), 0), size - 1
        if int(found[2]) == 0:
            first = size
    else:
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
        if found[2] and int(found[2]) < first:
            return None
    if first >= size:
        raise Fault("InvalidRange", f"The file has {size} bytes.")
    return first, last
