"""Probes: plain HTTP requests as an outsider would send them, to see what the store and the doors really answer."""

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5
REFUSAL_BYTES = 4096
# Where the objects lie that are tried: no model may bear the name, so no weights ever lie there.
PROBE_PREFIX = "checkpoints/doctor/"


class ProbeFailed(Exception):
    """Nothing answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: by their lower-case names. text: the first bytes, as a refusal has them."""

    status: int
    headers: Mapping[str, str]
    text: str


def status_of(url: str) -> int:
    """Return the status of a GET without credentials other than what the URL carries. Follows no redirect."""
    return ask(url).status


def ask(url: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
    """Return what is answered to one request. Raises ProbeFailed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    if parts.scheme == "https":  # trusting whom boto3 trusts
        trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_SECONDS, context=trusted)
    try:
        connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, dict(headers or {}))
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, named, response.read(REFUSAL_BYTES).decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        raise ProbeFailed(f"no answer from {parts.hostname} ({type(error).__name__})") from None
    finally:
        connection.close()
