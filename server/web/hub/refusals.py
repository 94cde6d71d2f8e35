"""Refusals as the Hugging Face client reads them: a status, its code, and our words in headers, as HEAD has no body.

`hf_hub_download` reports whatever has no code that it knows as a lost connection; the codes are its own classes.
"""

from enum import StrEnum
from typing import Any

import orjson
from flask import Response

from server.domain import errors
from server.domain.errors import Refused
from server.web.hub import notices
from server.web.identity import resources
from server.web.portal.kit.rendering import wait


class Code(StrEnum):
    """What `huggingface_hub` makes an exception of its own of."""

    GATED = "GatedRepo"  # it is there, and not for them
    NO_REPOSITORY = "RepoNotFound"
    NO_REVISION = "RevisionNotFound"
    NO_ENTRY = "EntryNotFound"


CODES = {
    errors.NotFound: Code.NO_REPOSITORY,
    errors.NoSuchCheckpoint: Code.NO_REVISION,
    errors.NoSuchFile: Code.NO_ENTRY,
}
# By these very words the client knows, over https, that a 401 is about the token and not about the repository.
BAD_TOKEN = "Invalid credentials in Authorization header"  # noqa: S105  # what is said of one
NO_TOKEN = "No API token was sent. Set HF_TOKEN to a token of yours; you can create one at"  # noqa: S105  # likewise
EXPLAINED = {401, 403, 451}  # beside which the client prints what we say, where its own words hide it


def refuse(refused: Refused, status: int, parts: dict[str, Any]) -> Response:
    """Return a refusal. status, parts: as the API would answer."""
    code = CODES.get(type(refused))
    reason = f"{parts['detail']} {parts['next_step']}"
    if isinstance(refused, errors.AuthenticationRequired):
        reason = f"{NO_TOKEN} {resources().settings.public_url}/tokens"
    elif isinstance(refused, errors.QuotaExceeded):
        # On 429 the client would sleep for all of Retry-After, up to five times, and say nothing.
        status, reason = 403, f"{parts['detail']} Try again in {wait(refused.retry_after_seconds)}."
    if status in EXPLAINED and not isinstance(refused, errors.InvalidCredentials):
        code = Code.GATED
    text = BAD_TOKEN if isinstance(refused, errors.InvalidCredentials) else reason
    response = answer(status, text, code)
    if status in EXPLAINED:
        notices.add(response, refused.code, reason)
    if isinstance(refused, errors.NoSuchFile):
        response.headers["X-Repo-Commit"] = refused.checkpoint_id  # so that the client remembers that it is not there
    return response


def is_probe(refused: Refused) -> bool:
    """Whether nothing was kept from anybody: loaders ask for optional files, by the dozen, to see if they are there."""
    return isinstance(refused, errors.NoSuchFile)


def answer(status: int, text: str, code: Code | None = None) -> Response:
    """Return an error in the client's form."""
    response = Response(orjson.dumps({"error": text}), status=status, mimetype="application/json")
    response.headers["X-Error-Message"] = notices.plain(text)
    if code is not None:
        response.headers["X-Error-Code"] = str(code)
    return response
