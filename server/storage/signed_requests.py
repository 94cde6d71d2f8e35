"""Signed requests: whether a request that came to our S3 door is signed by the key that it names (AWS Signature V4).

Source: AWS, "Authenticating Requests (AWS Signature Version 4)", for the service s3, in the header and in the query.
What is asked is read from the same parts that the signature covers, decoded once: nothing is meant by a request that
its signer did not sign.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
CLOCKS_DIFFER_BY = timedelta(minutes=15)
EXPIRES_AT_MOST = 7 * 24 * 3600
EMPTY_SHA256 = hashlib.sha256().hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_CREDENTIAL = re.compile(r"([A-Za-z0-9]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/s3/aws4_request")
_IN_HEADER = re.compile(rf"{ALGORITHM} +Credential=([^ ,]+) *, *SignedHeaders=([^ ,]+) *, *Signature=([0-9a-f]{{64}})")
_SIGNED_HEADERS = re.compile(r"[a-z0-9-]+(;[a-z0-9-]+)*")
_BLANKS = re.compile(r"[ \t]+")  # of HTTP; Python knows more
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_OF_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
             "X-Amz-Signature")  # fmt: skip
_ABOUT_SIGNING = frozenset((*_OF_QUERY, "X-Amz-Security-Token"))
_SIGNS = frozenset(name.lower() for name in _OF_QUERY) | {"awsaccesskeyid", "signature"}

SecretOf = Callable[[str], str | None]


class Unsigned(Exception):
    """The request is not to be believed. code: S3's own word for why; the text is a sentence for a person."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came. target: path and query, still encoded; headers: by their lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What its signer asked for, decoded."""

    access_key_id: str
    path: str
    query: Mapping[str, str]
    session_token: str | None


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says of its own signature."""

    credential: str
    signed_headers: str
    signature: str
    time: str
    payload: str
    expires_seconds: int | None


def verify(request: Request, secret_of: SecretOf, now: datetime) -> Asked:
    """Return what is asked, if the key that the request names has signed it. Raises Unsigned.

    secret_of: the secret of an access key id; None for one that there is not.
    """
    raw_path, _, raw_query = request.target.partition("?")
    path, query = _decoded(raw_path), _parameters(raw_query)
    claim = _claim(request.headers, query)
    scope = _CREDENTIAL.fullmatch(claim.credential)
    if scope is None or not _TIME.fullmatch(claim.time) or scope[2] != claim.time[:8]:
        raise Unsigned("AuthorizationHeaderMalformed", "The credential's scope or the time of signing is malformed.")
    at = _moment(claim.time)
    _require_on_time(claim, at, now)
    signed = _signed_headers(request.headers, claim.signed_headers)
    secret = secret_of(scope[1])
    if secret is None:
        raise Unsigned("InvalidAccessKeyId", "This server issued no such access key ID.")
    rest = "\n".join((*(f"{name}:{value}" for name, value in signed), "", claim.signed_headers, claim.payload))
    encoded = quote(path, safe="/-_.~"), _canonical_query(query)
    # Some sign the address as they send it, where that is not how AWS would encode it: it says the same.
    for address in dict.fromkeys((encoded, (raw_path, _sorted_query(raw_query)))):
        digest = hashlib.sha256("\n".join((request.method, *address, rest)).encode()).hexdigest()
        text = f"{ALGORITHM}\n{claim.time}\n{scope[2]}/{scope[3]}/s3/aws4_request\n{digest}"
        expected = hmac.digest(_signing_key(secret, scope[2], scope[3]), text.encode(), "sha256").hex()
        if hmac.compare_digest(expected, claim.signature):
            break
    else:
        raise Unsigned("SignatureDoesNotMatch", "The signature is not that of this request and this access key ID.")
    token = request.headers.get("x-amz-security-token", query.get("X-Amz-Security-Token"))
    return Asked(scope[1], path, {name: value for name, value in query.items() if name not in _ABOUT_SIGNING}, token)


def _decoded(text: str) -> str:
    """Raises Unsigned: no signer encodes what is not UTF-8, and no key of ours is."""
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise Unsigned("InvalidURI", "The address is not UTF-8.") from None


def _parameters(raw: str) -> dict[str, str]:
    """The query's parameters; a `+` is a plus, as it is to signers. Raises Unsigned where one appears twice."""
    found: dict[str, str] = {}
    for pair in raw.split("&") if raw else ():
        name, _, value = pair.partition("=")
        name = _decoded(name)
        if name in found:
            raise Unsigned("InvalidArgument", "A query parameter appears twice.")
        found[name] = _decoded(value)
    return found


def _claim(headers: Mapping[str, str], query: Mapping[str, str]) -> _Claim:
    in_header, in_query = headers.get("authorization"), any(name.lower() in _SIGNS for name in query)
    if in_header is not None and in_query:
        raise Unsigned("InvalidArgument", "Sign in the Authorization header or in the query, not in both.")
    if in_header is not None:
        return _claim_of_header(headers, in_header)
    if in_query:
        return _claim_of_query(headers, query)
    raise Unsigned("AccessDenied", "This request is not signed. Get keys for your token first.")


def _claim_of_header(headers: Mapping[str, str], given: str) -> _Claim:
    found = _IN_HEADER.fullmatch(given.strip())
    if found is None:
        raise Unsigned("AuthorizationHeaderMalformed", f"Sign with {ALGORITHM}, in one Authorization header.")
    payload = headers.get("x-amz-content-sha256", "")
    if payload.startswith("STREAMING-"):
        raise Unsigned("NotImplemented", "Nothing is uploaded here, so no body is signed in chunks.")
    if payload not in {UNSIGNED, EMPTY_SHA256}:
        raise Unsigned(
            "XAmzContentSHA256Mismatch", "x-amz-content-sha256 must be that of no body, or UNSIGNED-PAYLOAD."
        )
    return _Claim(found[1], found[2], found[3], headers.get("x-amz-date", ""), payload, None)


def _claim_of_query(headers: Mapping[str, str], query: Mapping[str, str]) -> _Claim:
    malformed = Unsigned(
        "AuthorizationQueryParametersError", "The query's X-Amz-… parameters are missing or malformed."
    )
    if any(name not in query for name in _OF_QUERY):
        raise malformed
    algorithm, credential, time, expires, signed_headers, signature = (query[name] for name in _OF_QUERY)
    if algorithm != ALGORITHM or not _SIGNATURE.fullmatch(signature) or not _SECONDS.fullmatch(expires):
        raise malformed
    if not 1 <= int(expires) <= EXPIRES_AT_MOST:
        raise malformed
    payload = headers.get("x-amz-content-sha256", UNSIGNED)
    if payload not in {UNSIGNED, EMPTY_SHA256}:
        raise Unsigned(
            "XAmzContentSHA256Mismatch", "x-amz-content-sha256 must be that of no body, or UNSIGNED-PAYLOAD."
        )
    return _Claim(credential, signed_headers, signature, time, payload, int(expires))


def _moment(time: str) -> datetime:
    try:
        return datetime.strptime(time, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unsigned("AuthorizationHeaderMalformed", "The time of signing is no time.") from None


def _require_on_time(claim: _Claim, at: datetime, now: datetime) -> None:
    if claim.expires_seconds is None:
        late = abs(now - at) > CLOCKS_DIFFER_BY
    else:
        late = at - now > CLOCKS_DIFFER_BY
        if now >= at + timedelta(seconds=claim.expires_seconds):
            raise Unsigned("AccessDenied", "This signed URL has expired.")
    if late:
        raise Unsigned("RequestTimeTooSkewed", "The time of signing is more than 15 minutes from this server's time.")


def _signed_headers(headers: Mapping[str, str], names: str) -> list[tuple[str, str]]:
    """The headers that are signed, with their values as signed. Host and all of S3's own must be among them."""
    if not _SIGNED_HEADERS.fullmatch(names):
        raise Unsigned("AuthorizationHeaderMalformed", "The list of signed headers is malformed.")
    listed = names.split(";")
    if listed != sorted(set(listed)):
        raise Unsigned("AuthorizationHeaderMalformed", "The signed headers must be listed once each, in order.")
    required = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if not required <= set(listed):
        missing = ", ".join(sorted(required - set(listed)))
        raise Unsigned("AccessDenied", f"There are headers that must be signed and are not: {missing[:200]}.")
    if not set(listed) <= headers.keys():
        raise Unsigned("SignatureDoesNotMatch", "A header that was signed did not arrive.")
    return [(name, _BLANKS.sub(" ", headers[name]).strip(" ")) for name in listed]


def _canonical_query(query: Mapping[str, str]) -> str:
    pairs = ((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items()
             if name != "X-Amz-Signature")  # fmt: skip
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _sorted_query(raw: str) -> str:
    pairs = sorted(pair.partition("=")[::2] for pair in raw.split("&")) if raw else []
    return "&".join(f"{name}={value}" for name, value in pairs if name != "X-Amz-Signature")


@lru_cache(maxsize=1024)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
