"""Identity tokens: what an issuer says of a workload, signed (OpenID Connect Core, section 2; RFC 7519; RFC 8725).

Of a token that is not signed by an issuer that this server trusts nobody learns why: who may trust which issuer is not
for strangers.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
import structlog
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import import_key
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.domain.errors import IdentityTokenExpired, IdentityTokenRefused, IssuerUnavailable
from server.domain.resources import Resources
from server.storage import strict_json
from server.storage.issuer_keys import IssuerKeysUnavailable, Jwk
from server.storage.strict_json import NotStrict
from server.text import is_writable

logger = structlog.get_logger(__name__)
FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
CHARACTERS_AT_MOST = 16_384
LEEWAY = timedelta(seconds=60)
LIFE_AT_MOST = timedelta(hours=24)
# Which kind of key each algorithm takes: the header of a token says how it was signed, never with what.
ALGORITHMS = {"RS256": ("RSA", None), "PS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
_MODULUS = re.compile(r"[A-Za-z0-9_-]{342,1368}")  # 2048 to 8192 bits
_TYPES = frozenset({None, "jwt", "at+jwt"})  # a logout token, say, is for something else
_NOT_VALID = "The identity token is not valid: its form, its issuer, its key or its signature is wrong."
_RUN_CLAIMS = {"run_id": "run_id", "job_id": "job_id", "pod": "kubernetes.io/pod/uid"}  # how a run is told from others
_RUN = re.compile(r"[!-~]{1,100}")

Word = Annotated[str, Field(min_length=1, max_length=255)]
Seconds = Annotated[float, Field(gt=0, lt=2**33, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a workload is, by the word of its issuer, until when. sha256: the same for a token each time it is shown."""

    issuer: str
    subject: str
    audiences: frozenset[str]
    claims: Mapping[str, Any]
    run: str | None
    expires_at: datetime
    sha256: bytes

    def has(self, name: str, value: str) -> bool:
        """Whether a claim is exactly this text. name: the claim's, or its path: `kubernetes.io/pod/uid`."""
        found = _claim(self.claims, name)
        return isinstance(found, str) and found == value


class _Header(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    alg: Literal["RS256", "PS256", "ES256", "EdDSA"]
    kid: Word
    typ: str | None = None


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    iss: str
    sub: Word
    aud: Word | Annotated[list[Word], Field(min_length=1, max_length=20)]
    exp: Seconds
    iat: Seconds
    nbf: Seconds | None = None
    jti: Word | None = None


class _Registry(JWSRegistry):
    """Our algorithms and no others. joserfc would warn of EdDSA's name, which issuers use all the same."""

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(strict_check_header=False)


def verify(use: Resources, text: str) -> Identity:
    """Return what a token says, once its issuer's signature and its times hold.

    Raises IdentityTokenRefused, IssuerUnavailable.
    """
    if len(text) > CHARACTERS_AT_MOST or not FORM.fullmatch(text):
        raise IdentityTokenRefused(_NOT_VALID)
    try:
        encoded, signed, _ = text.split(".")
        header = _Header.model_validate(strict_json.load_object(_decoded(encoded)))
        content = strict_json.load_object(_decoded(signed))
        claims = _Claims.model_validate(content)
        if (header.typ and header.typ.lower()) not in _TYPES:
            raise IdentityTokenRefused(_NOT_VALID)
        jws.deserialize_compact(text, import_key(dict(_key(use, claims.iss, header))), registry=_REGISTRY)
    except (JoseError, NotStrict, ValidationError, ValueError, TypeError):
        raise IdentityTokenRefused(_NOT_VALID) from None
    _require_now(claims, use.clock())
    if not is_writable(claims.sub):
        raise IdentityTokenRefused("The identity token's subject contains an unsupported character.")
    return Identity(
        issuer=claims.iss, subject=claims.sub, claims=content, run=_run(content),
        audiences=frozenset([claims.aud] if isinstance(claims.aud, str) else claims.aud),
        expires_at=_moment(claims.exp), sha256=_known_by(claims, f"{encoded}.{signed}"),
    )  # fmt: skip


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part.encode("ascii"))


def _key(use: Resources, issuer: str, header: _Header) -> Jwk:
    """The issuer's key that the header names, if it fits the algorithm. Raises as `verify`."""
    try:
        key = use.issuer_keys.find(issuer, header.kid) if issuer in use.issuer_keys else None
    except IssuerKeysUnavailable as error:
        logger.warning("issuer_keys_unavailable", detail=str(error))
        raise IssuerUnavailable(retry_after_seconds=10) from None
    kind, curve = ALGORITHMS[header.alg]
    if key is None or key.get("kty") != kind or key.get("alg", header.alg) != header.alg:
        raise IdentityTokenRefused(_NOT_VALID)
    if kind == "RSA" and not _MODULUS.fullmatch(str(key.get("n"))):
        raise IdentityTokenRefused(_NOT_VALID)
    if key.get("crv") != curve:
        raise IdentityTokenRefused(_NOT_VALID)
    return {name: key[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in key}  # what is public of it


def _require_now(claims: _Claims, at: datetime) -> None:
    """Raise IdentityTokenRefused unless it is valid now, with a little leeway, and for a bounded time."""
    issued, ends = _moment(claims.iat), _moment(claims.exp)
    begins = issued if claims.nbf is None else max(issued, _moment(claims.nbf))
    if at >= ends + LEEWAY:
        raise IdentityTokenExpired("The identity token has expired.")
    if at < begins - LEEWAY:
        raise IdentityTokenRefused("The identity token is not valid yet. Compare the clocks of both machines.")
    if not timedelta(0) < ends - issued <= LIFE_AT_MOST:
        raise IdentityTokenRefused(
            "The identity token is valid for more than 24 hours.", next_step="Request one with a shorter lifetime."
        )


def _known_by(claims: _Claims, signed: str) -> bytes:
    """What is the same whenever a token is shown, and differs from every other: by its ID, or else by what was signed.

    Not by its signature: one of ECDSA can be written in two ways.
    """
    by = ["jti", claims.iss, claims.jti] if claims.jti is not None else ["signed", signed]
    return hashlib.sha256(orjson.dumps(by)).digest()


def _run(claims: Mapping[str, Any]) -> str | None:
    """Which run of a workload it is, where an issuer that we know says so: `run_id 4711`."""
    for name, path in _RUN_CLAIMS.items():
        value = str(_claim(claims, path))
        if _claim(claims, path) is not None and _RUN.fullmatch(value):
            return f"{name} {value}"
    return None


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by its path where no claim has that name."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
