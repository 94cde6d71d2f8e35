"""Fetches from identity providers: bounded in size, time and number, from the address asked for and no other."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from authlib.integrations.requests_client import OAuth2Session
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from server.storage.provider_answers import ProviderUnavailable

ANSWER_BYTES_AT_MOST = 256 * 1024
STEP_SECONDS = 5  # to connect, and between two bytes
ANSWER_SECONDS = 10  # altogether
_CHUNK_BYTES = 16 * 1024
# Of this process: a provider that is slow to answer shall not hold every thread of the server.
_turns = threading.BoundedSemaphore(3)
TURN_SECONDS = 2


class _BoundedAdapter(HTTPAdapter):
    """Reads an answer within the bounds before anybody else sees it."""

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
        with _turn():
            response = super().send(request, **more | {"stream": True, "timeout": STEP_SECONDS})
            try:
                response._content = _read(response)
            finally:
                response.close()
        return response


def bounded(session: OAuth2Session, ca_file: Path | None) -> OAuth2Session:
    """Make a session one that waits within bounds and takes nothing from the environment."""
    session.trust_env = False  # neither a proxy nor a .netrc of whoever started this process
    session.headers["Accept-Encoding"] = "identity"  # what is packed small could unpack to much more
    session.verify = True if ca_file is None else str(ca_file)
    for scheme in ("https://", "http://"):  # the settings let http reach loopback only
        session.mount(scheme, _BoundedAdapter(max_retries=0))
    return session


def fetch_json(session: OAuth2Session, url: str) -> dict[str, Any]:
    """GET a JSON object, from there and not from where that may redirect to. Raises ProviderUnavailable."""
    with typed_errors():
        response = session.request("GET", url, withhold_token=True, allow_redirects=False)
    return as_object(response)


def as_object(response: requests.Response) -> dict[str, Any]:
    """What an answer says. Raises ProviderUnavailable unless it is 200 and a JSON object."""
    if response.status_code != 200:
        raise ProviderUnavailable(f"it answered {response.status_code}")
    try:
        said = json.loads(response.content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ProviderUnavailable("its answer is not a JSON object")
    return said


@contextmanager
def typed_errors() -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, HTTPError) as error:
        raise ProviderUnavailable(f"it does not respond ({type(error).__name__})") from None
    except OSError as error:  # a CA file that cannot be read
        raise ProviderUnavailable(f"it cannot be asked ({type(error).__name__}): check ca_file") from None


def _read(response: requests.Response) -> bytes:
    until, content = time.monotonic() + ANSWER_SECONDS, bytearray()
    while part := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        content += part
        if len(content) > ANSWER_BYTES_AT_MOST:
            raise ProviderUnavailable(f"its answer has more than {ANSWER_BYTES_AT_MOST} bytes")
        if time.monotonic() > until:
            raise ProviderUnavailable(f"its answer took more than {ANSWER_SECONDS} s")
    return bytes(content)


@contextmanager
def _turn() -> Iterator[None]:
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise ProviderUnavailable("too many people are signing in with it right now")
    try:
        yield
    finally:
        _turns.release()
