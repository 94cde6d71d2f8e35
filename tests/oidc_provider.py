"""A real OpenID Connect provider for the tests: people who sign in with it, and programs that get tokens from it.

It is oidc-provider, which we did not write. A relay stands before it, by whose address everybody knows it: tests let
the relay fail, or change what it passes on, as no provider would.
"""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from tests.parts import NODE, missing
from tests.prepare import OIDC_PROVIDER

PROGRAM = Path(__file__).parent / "oidc" / "provider.mjs"
START_SECONDS = 20
ANSWER_SECONDS = 10
AUDIENCE = "https://weights.example.org"
MULTI_FACTOR = "urn:example:multi-factor"  # the acr of a sign-in with a second factor
PASSWORD = "what the provider knows"
CONFIDENTIAL, PUBLIC, OTHER, MACHINE = "weightgate", "weightgate-public", "another-client", "ci-runner"
SECRET = "the secret of a client, 32 letters"
PEOPLE = {
    name: {"password": PASSWORD, "claims": {"name": f"{name.title()} Example", "email": f"{name}@login.example"}}
    for name in ("ada", "bo", "cy", "dee")
}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Passed:
    """An answer on its way through the relay; `body` and the others may be changed."""

    method: str
    path: str
    query: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def said(self) -> Any:
        return json.loads(self.body)

    def say(self, what: Any) -> None:
        self.body = json.dumps(what).encode()


@dataclass
class Relay:
    """What stands between the provider and everybody else. meddle: changes an answer, or raises OSError to hang up."""

    upstream_port: int
    meddle: Callable[[Passed], None] = lambda _: None
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay._pass_on(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{handler.command} {handler.path.partition('?')[0]}")
        sent = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        try:
            passed = self._asked_upstream(handler, sent)
            self.meddle(passed)
        except OSError:
            handler.close_connection = True
            return
        handler.send_response(passed.status)
        for name, value in passed.headers:
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(passed.body)))
        handler.end_headers()
        handler.wfile.write(passed.body)

    def _asked_upstream(self, handler: BaseHTTPRequestHandler, sent: bytes) -> Passed:
        connection = HTTPConnection("127.0.0.1", self.upstream_port, timeout=ANSWER_SECONDS)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(handler.command, handler.path, sent or None, headers)
            answer = connection.getresponse()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP]
            path, _, query = handler.path.partition("?")
            return Passed(handler.command, path, query, answer.status, kept, answer.read())
        finally:
            connection.close()


class OidcProvider:
    """The provider behind its relay. `start` after `end` is on the same address, with the same people and new keys."""

    def __init__(self, node: str, redirect_uris: list[str]) -> None:
        self._node, self._redirect_uris = node, redirect_uris
        self._port = free_port()
        self.relay = Relay(self._port)
        self.start()

    @property
    def issuer(self) -> str:
        return self.relay.address

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [self._node, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            preexec_fn=ending_with_parent(signal.SIGKILL),
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018
        self._process.stdin.write(json.dumps(self._configuration()).encode())
        self._process.stdin.close()
        deadline = time.monotonic() + START_SECONDS
        while self._process.stdout.readline().strip() != b"ready":
            assert self._process.poll() is None, "the provider did not start"
            assert time.monotonic() < deadline, "the provider did not start in time"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def close(self) -> None:
        self.end()
        self.relay.close()

    def machine_token(self, audience: str = AUDIENCE, client: str = MACHINE) -> str:
        """A signed JWT for a program, by its client credentials: `sub` and `client_id` are the client's."""
        form = {"grant_type": "client_credentials", "resource": audience}
        answer = requests.post(f"{self.issuer}/token", form, auth=(client, SECRET), timeout=ANSWER_SECONDS)
        token: str = answer.json()["access_token"]
        return token

    def go_through(self, address: str, login: str | None, *, second_factor: bool = False) -> str:
        """Be a browser that follows an authorization address; returns the address it is sent back to.

        login: whose; None for somebody who cancels.
        """
        with requests.Session() as browser:
            while address.startswith(self.issuer):
                answer = browser.get(address, allow_redirects=False, timeout=ANSWER_SECONDS)
                if form := re.search(r'action="(/interaction/[^"]+)"', answer.text):
                    typed = (
                        {"act": "abort"} if login is None else {"login": login, "password": PASSWORD, "act": "sign-in"}
                    )
                    more = {"second_factor": "y"} if second_factor else {}
                    to = urljoin(self.issuer, form[1])
                    answer = browser.post(to, typed | more, allow_redirects=False, timeout=ANSWER_SECONDS)
                assert answer.is_redirect, f"{address} answered {answer.status_code}: {answer.text[:500]}"
                address = urljoin(address, answer.headers["Location"])
        return address

    def id_token(self, login: str, client: str = OTHER, nonce: str = "n", redirect_uri: str = "") -> str:
        """A real ID token, for whatever client and nonce: what somebody could try to pass off as ours."""
        uri = redirect_uri or self._redirect_uris[0]
        query = {
            "client_id": client, "response_type": "code", "scope": "openid", "redirect_uri": uri, "nonce": nonce,
            "state": "s",
        }  # fmt: skip
        began = requests.Request("GET", f"{self.issuer}/auth", params=query).prepare().url
        back = self.go_through(str(began), login)
        form = {"grant_type": "authorization_code", "redirect_uri": uri} | {
            "code": parse_qs(urlsplit(back).query)["code"][0]
        }
        answer = requests.post(f"{self.issuer}/token", form, auth=(client, SECRET), timeout=ANSWER_SECONDS)
        token: str = answer.json()["id_token"]
        return token

    def _configuration(self) -> dict[str, Any]:
        of_people = {
            "redirect_uris": self._redirect_uris, "grant_types": ["authorization_code"], "response_types": ["code"],
        }  # fmt: skip
        of_machines = {"redirect_uris": [], "grant_types": ["client_credentials"], "response_types": []}
        return {
            "issuer": self.issuer, "port": self._port, "packages": str(OIDC_PROVIDER), "people": PEOPLE,
            "audience": AUDIENCE,
            "clients": [
                {"client_id": CONFIDENTIAL, "client_secret": SECRET, **of_people},
                {"client_id": OTHER, "client_secret": SECRET, **of_people},
                {"client_id": PUBLIC, "token_endpoint_auth_method": "none", "id_token_signed_response_alg": "ES256",
                 **of_people},
                {"client_id": MACHINE, "client_secret": SECRET, **of_machines},
            ],
        }  # fmt: skip


@contextmanager
def running(redirect_uris: list[str]) -> Iterator[OidcProvider]:
    """Start one for clients that people are sent back to at these addresses."""
    if NODE is None:
        missing("oidc_provider")
    provider = OidcProvider(NODE, redirect_uris)
    try:
        yield provider
    finally:
        provider.close()


@pytest.fixture(scope="module")
def running_oidc_provider() -> Iterator[OidcProvider]:
    """The one of a module's tests, to which portals of test clients send people."""
    with running([f"http://localhost:8080/sign-in/with/{name}/return" for name in ("lab", "other")]) as provider:
        yield provider


@pytest.fixture
def oidc_provider(running_oidc_provider: OidcProvider) -> Iterator[OidcProvider]:
    """The same, honest: whatever a test lets its relay do ends with the test."""
    yield running_oidc_provider
    running_oidc_provider.relay.meddle = lambda _: None
