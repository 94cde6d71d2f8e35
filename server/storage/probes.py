"""Probes: plain HTTP requests as an outsider would send them, to see what the store really answers."""

import http.client
import os
import ssl
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5
REFUSAL_BYTES = 4096
# Where the objects lie that are tried: no model may bear the name, so no weights ever lie there.
PROBE_PREFIX = "checkpoints/doctor/"


class ProbeFailed(Exception):
    """Nothing answered."""


def status_of(url: str) -> int:
    """Return the status of a GET without credentials other than what the URL carries. Follows no redirect."""
    return answer_of(url)[0]


def answer_of(url: str) -> tuple[int, str]:
    """The same, with the answer's first bytes, as a refusal has them."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_SECONDS)
    if parts.scheme == "https":  # trusting whom boto3 trusts
        trusted = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        connection = http.client.HTTPSConnection(parts.netloc, timeout=TIMEOUT_SECONDS, context=trusted)
    try:
        connection.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        return response.status, response.read(REFUSAL_BYTES).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise ProbeFailed(f"no answer from {parts.hostname} ({type(error).__name__})") from None
    finally:
        connection.close()
