"""An issuer of identity tokens on loopback: https, discovery, keys that rotate, and answers that go wrong on demand."""

import datetime
import itertools
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.util import urlsafe_b64encode

from server.domain.identity import exchanges, trust_records
from server.domain.identity.exchanges import Wish
from server.domain.identity.identity_tokens import _Registry
from server.domain.identity.tokens import NewToken
from server.domain.identity.trust_records import Terms
from server.domain.permissions import Scope
from server.workload_issuers import WorkloadIssuer
from tests.certificates import write_self_signed
from tests.world import STRANGER, World

RSA_KEYS = 4  # of a process, given out in turn: making one takes longer than most tests


def _rsa_keys() -> Iterator[Key]:
    known: list[Key] = []
    while len(known) < RSA_KEYS:
        known.append(RSAKey.generate_key(2048))
        yield known[-1]
    yield from itertools.cycle(known)


RSA = _rsa_keys()
KINDS: dict[str, Callable[[], Key]] = {
    "RS256": lambda: next(RSA),
    "PS256": lambda: next(RSA),
    "ES256": lambda: ECKey.generate_key("P-256"),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519"),
}
WELL_KNOWN, KEYS = "/.well-known/openid-configuration", "/openid/v1/jwks"
AUDIENCE = "http://localhost:8080"
NEVER_ASKED = "https://issuer.example.org"
ACCOUNT, UID = "system:serviceaccount:research:loader", "3f1c0a52-93a6-4c3e-9f0b-7a1d2c5e8b11"
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Issuer:
    """A running issuer. answers: what it says in place of its documents, by their paths. asked: the paths asked for."""

    url: str
    ca_file: Path
    keys: dict[str, tuple[str, Key]] = field(default_factory=dict)  # by their IDs: the algorithm, and the key
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)

    @property
    def setting(self) -> WorkloadIssuer:
        return WorkloadIssuer(url=self.url, ca_file=self.ca_file)

    def add_key(self, algorithm: str = "RS256") -> str:
        """Begin to use another key; returns its ID."""
        key_id = uuid.uuid4().hex
        self.keys[key_id] = algorithm, KINDS[algorithm]()
        return key_id

    def jwks(self) -> dict[str, Any]:
        return {
            "keys": [
                {**key.as_dict(private=False), "kid": key_id, "use": "sig", "alg": algorithm}
                for key_id, (algorithm, key) in self.keys.items()
            ]
        }

    def sign(self, claims: Any, key_id: str | None = None, **header: Any) -> str:
        """A token of these claims, or of this text, with the newest key."""
        key_id = key_id or list(self.keys)[-1]
        algorithm, key = self.keys[key_id]
        content = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        protected = {"alg": algorithm, "kid": key_id} | header
        return jws.serialize_compact(protected, content, key, registry=_Registry(strict_check_header=False))

    def claims(self, **more: Any) -> dict[str, Any]:
        """As Kubernetes projects them into a pod (KEP-1205)."""
        at = int(self.clock().timestamp())
        claims = {
            "aud": [AUDIENCE], "exp": at + 3600, "iat": at, "iss": self.url, "jti": str(uuid.uuid4()),
            "kubernetes.io": {
                "namespace": "research",
                "node": {"name": "node-7", "uid": "0d6f6f0e-5d0c-4a5e-8d3e-1f2a3b4c5d6e"},
                "pod": {"name": "loader-0", "uid": "b9e5c0de-1111-4222-8333-444455556666"},
                "serviceaccount": {"name": "loader", "uid": UID},
            },
            "nbf": at, "sub": ACCOUNT,
        }  # fmt: skip
        return {name: value for name, value in (claims | more).items() if value is not None}

    def token(self, **more: Any) -> str:
        """A projected service account token; a claim that is None is left out."""
        return self.sign(self.claims(**more))

    def github(self, **more: Any) -> str:
        """As GitHub's runners get them."""
        at = int(self.clock().timestamp())
        claims = {
            "aud": AUDIENCE, "exp": at + 300, "iat": at, "iss": self.url, "jti": str(uuid.uuid4()), "nbf": at - 300,
            "ref": "refs/heads/main", "repository": "aurora/eval", "repository_id": "74", "repository_owner_id": "65",
            "run_id": "4711", "run_attempt": "1", "sub": "repo:aurora/eval:ref:refs/heads/main",
        }  # fmt: skip
        return self.sign({name: value for name, value in (claims | more).items() if value is not None}, typ="JWT")


def trust(world: World, *issuers: Issuer, **more: Any) -> None:
    """Let the server of a world speak with these issuers; nothing that was fetched before is known any more."""
    settings = tuple(issuer.setting for issuer in issuers)
    world.use.settings = world.use.settings.model_copy(update={"workload_issuers": settings, **more})
    world.use.__dict__.pop("issuer_keys", None)
    for issuer in issuers:
        issuer.clock = world.clock


def trust_nobody(world: World) -> None:
    """Let the server know an issuer that is never asked: for records under which nothing is exchanged."""
    known = (WorkloadIssuer(url=NEVER_ASKED),)
    world.use.settings = world.use.settings.model_copy(update={"workload_issuers": known})
    world.use.__dict__.pop("issuer_keys", None)


@contextmanager
def running(folder: Path) -> Iterator[Issuer]:
    """An issuer with one key, under a certificate of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate = write_self_signed(folder / "issuer.pem", "localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Documents) as listener:
        listener.daemon_threads = True
        listener.block_on_close = False
        listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
        issuer = Issuer(f"https://localhost:{listener.server_port}", certificate)
        issuer.add_key()
        listener.issuer = issuer  # type: ignore[attr-defined]
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield issuer
        finally:
            listener.shutdown()
            thread.join()


class _Documents(BaseHTTPRequestHandler):
    """Its two documents."""

    def do_GET(self) -> None:
        issuer: Issuer = self.server.issuer  # type: ignore[attr-defined]
        issuer.asked.append(self.path)
        if (answer := issuer.answers.get(self.path)) is not None:
            answer(self)
        elif self.path == WELL_KNOWN:
            say(self, {"issuer": issuer.url, "jwks_uri": issuer.url + KEYS})
        elif self.path == KEYS:
            say(self, issuer.jwks())
        else:
            say(self, {}, 404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def say(
    handler: BaseHTTPRequestHandler, body: Any, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Answer with JSON, or with these bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


def encoded(value: Any) -> str:
    """A part of a token, as it is spelled there."""
    return urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    """A running issuer."""
    with running(tmp_path / "issuer") as made:
        yield made


def trusting(world: World, issuer: Issuer | str, by: str = "cleared", **more: Any) -> int:
    """Have an owner trust the service account of `Issuer.claims`; returns the trust record's number."""
    url = issuer if isinstance(issuer, str) else issuer.url
    terms = {
        "name": "loader", "issuer": url, "audience": AUDIENCE,
        "claims": {"sub": ACCOUNT, "kubernetes.io/serviceaccount/uid": UID},
        "scopes": {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE},
        "ends_at": world.clock() + datetime.timedelta(days=30),
    }  # fmt: skip
    if isinstance(issuer, Issuer) and url not in {known.url for known in world.use.settings.workload_issuers}:
        trust(world, issuer)
    return trust_records.create(world.use, world.person(by), Terms(**{**terms, **more}))


def exchanged(world: World, text: str, **wish: Any) -> NewToken:
    """What a machine gets for an identity token."""
    return exchanges.exchange(world.use, STRANGER, text, Wish(**wish))
