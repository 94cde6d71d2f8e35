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
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from server.storage import bounded_fetch, strict_json
from server.storage.bounded_fetch import FetchFailed
from server.storage.provider_answers import ProviderUnavailable
from server.storage.strict_json import NotStrict

ANSWER_BYTES_AT_MOST = 256 * 1024
STEP_SECONDS = 5  # to connect, and between two bytes; for a document altogether
ANSWER_SECONDS = 10  # altogether, for a code that is exchanged
AT_ONCE = 2  # of one provider: one that is slow holds up neither every thread of the server nor the others' people
TURN_SECONDS = 2
_CHUNK_BYTES = 16 * 1024


class ProviderFetches:
    """What one provider is asked. Safe for threads."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def document(self, url: str) -> dict[str, Any]:
        """GET a JSON object, from there and not from where that may redirect to. Raises ProviderUnavailable."""
        with self.turn():
            try:
                data = bounded_fetch.get(url, self._ca_file, bytes_at_most=ANSWER_BYTES_AT_MOST, seconds=STEP_SECONDS)
                return strict_json.load_object(data)
            except FetchFailed as error:
                raise ProviderUnavailable(f"it does not respond ({error})") from None
            except NotStrict:
                raise ProviderUnavailable("its answer is not a JSON object") from None

    def bounded(self, session: OAuth2Session, url: str) -> OAuth2Session:
        """Make a session one that waits within bounds. url: what it will ask, over the environment's proxy if https."""
        session.trust_env = False  # no .netrc of whoever started this process
        session.proxies = get_environ_proxies(url) if url.startswith("https:") else {}
        session.verify = True if self._ca_file is None else str(self._ca_file)
        for scheme in ("https://", "http://"):  # the settings let http reach loopback only
            session.mount(scheme, _BoundedAdapter(self))
        return session

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn. Raises ProviderUnavailable."""
        if not self._turns.acquire(timeout=TURN_SECONDS):
            raise ProviderUnavailable("too many people are signing in with it at the same time")
        try:
            yield
        finally:
            self._turns.release()


class _BoundedAdapter(HTTPAdapter):
    """Reads an answer within the bounds before anybody else sees it."""

    def __init__(self, fetches: ProviderFetches) -> None:
        super().__init__(max_retries=0)
        self._fetches = fetches

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:  # type: ignore[override]
        with self._fetches.turn():
            response = super().send(request, **more | {"stream": True, "timeout": STEP_SECONDS})
            try:
                response._content = _read(response)
            finally:
                response.close()
        return response


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
