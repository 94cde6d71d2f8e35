"""HTTP to one server. Follows no redirect, so the token can reach no other host than the one it was given for.

The standard library's client: TLS with the system's certificates and the usual proxy variables, and one dependency
less in a partner's environment than urllib3 or requests, which follow redirects unless told otherwise.
"""

import base64
import http.client
import ipaddress
import re
import ssl
import time
import urllib.request
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

from weightgate.verdicts import CannotTell, Malformed, WrongUse

TIMEOUT_SECONDS = 10.0
UPLOAD_TIMEOUT_SECONDS = 300.0
LOST = (OSError, http.client.HTTPException)  # what a connection that broke raises
_CHUNK_BYTES = 65_536
_TOKEN = re.compile(r"[!-~]{1,1024}")
_VISIBLE = re.compile(r"[!-~]+")
_SECONDS = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered. body: may be left out unless the status is 200. retry_after_seconds: None if not told."""

    status: int
    body: bytes
    retry_after_seconds: int | None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """One server at `endpoint` (scheme, host and perhaps a path), and the token that it knows us by.

    ca: a file of certificates to trust in place of the system's.
    """

    endpoint: str
    token: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    ca: str | None = None

    def __post_init__(self) -> None:
        _require_endpoint(self.endpoint)
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise WrongUse("bad_token", "The token contains invalid characters.", "Copy the token again.")

    def get(
        self, path: str, limit_bytes: int, *, with_token: bool = False, body_of: Container[int] = (200,)
    ) -> Response:
        """GET one path. Raises CannotTell when there is no answer, Malformed when it is larger than the limit.

        body_of: the statuses of which the body is read.
        """
        return self._ask(path, None, limit_bytes, with_token=with_token, body_of=body_of)

    def post(self, path: str, body: bytes, limit_bytes: int, *, content_type: str = "application/json") -> Response:
        """POST to one path, with the token; the answer's body is read whatever its status. Raises as `get`."""
        return self._ask(path, body, limit_bytes, with_token=True, body_of=range(200, 600), content_type=content_type)

    def _ask(
        self, path: str, sent: bytes | None, limit_bytes: int, *, with_token: bool, body_of: Container[int],
        content_type: str = "",
    ) -> Response:  # fmt: skip
        # Only what _require_endpoint let through gets here: https, or http on loopback.
        request = urllib.request.Request(self.endpoint.rstrip("/") + path, data=sent)  # noqa: S310
        request.add_header("User-Agent", "weightgate")
        if sent is not None:
            request.add_header("Content-Type", content_type)
        if with_token and self.token is not None:
            request.add_header("Authorization", f"Bearer {self.token}")
        ends_at = time.monotonic() + self.timeout_seconds
        try:
            with _opener(request.type, self.ca).open(request, timeout=self.timeout_seconds) as response:
                status = int(response.status)
                kind = response.headers.get_content_type()
                body = _read(response, limit_bytes, ends_at) if status in body_of else b""
                after = response.headers.get("Retry-After", "")
        except LOST as error:
            raise CannotTell("unreachable", f"The server does not respond ({reason(error)}).") from None
        if 300 <= status < 400:
            raise CannotTell(
                "redirected",
                f"The server redirects to another address (HTTP {status}). The client does not follow redirects, "
                "to protect the token.",
                "If you trust the final address, use it as --endpoint.",
            )
        return Response(status, body, int(after) if _SECONDS.fullmatch(after) else None, kind)


def require_safe(url: str) -> None:
    """Raise CannotTell for a URL that a server gave and nobody should use: not https, or with a user or password."""
    try:
        parts = urlsplit(url)
        _require_origin(f"{parts.scheme}://{parts.netloc}")
        safe = _VISIBLE.fullmatch(url) is not None
    except (WrongUse, ValueError):
        safe = False
    if not safe:
        raise CannotTell("bad_url", "The server named an address for the file that is not safe to use.")


def connect(url: str, ca: str | None, timeout_seconds: float) -> http.client.HTTPConnection:
    """Return a connection for a URL that `require_safe` let through; over the environment's proxy where it is https."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":  # only for loopback
        return http.client.HTTPConnection(host, port, timeout=timeout_seconds)
    proxy = None if urllib.request.proxy_bypass(parts.netloc) else urllib.request.getproxies().get("https")
    if proxy is None:
        return http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=_tls(ca))
    way = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    connection = http.client.HTTPSConnection(
        way.hostname or "", way.port or 3128, timeout=timeout_seconds, context=_tls(ca)
    )
    connection.set_tunnel(host, port or 443, _proxy_authorization(way))
    return connection


class Kept:
    """A connection to a store, used again for every URL of the same origin. For one thread."""

    def __init__(self, ca: str | None, timeout_seconds: float) -> None:
        self._ca, self._timeout_seconds = ca, timeout_seconds
        self._connection: http.client.HTTPConnection | None = None
        self._origin = ""

    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: Iterable[bytes] | None = None
    ) -> http.client.HTTPResponse:
        """Ask for a URL that `require_safe` let through. Raises what is in LOST; then hang up."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if self._connection is None or origin != self._origin:
            self.hang_up()
            self._connection, self._origin = connect(url, self._ca, self._timeout_seconds), origin
        target = parts._replace(scheme="", netloc="", fragment="").geturl()
        # It may answer before it has the whole body, and say why.
        passed_over = () if body is None else (BrokenPipeError, ConnectionResetError)
        with suppress(*passed_over):
            self._connection.request(method, target, body, {**headers, "User-Agent": "weightgate"})
        return self._connection.getresponse()

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def put(url: str, headers: Mapping[str, str], content: bytes, ca: str | None) -> None:
    """PUT bytes to a URL that a server gave, with its headers and without any token. Raises CannotTell."""
    require_safe(url)
    request = urllib.request.Request(url, data=content, headers=dict(headers), method="PUT")  # noqa: S310  # as above
    try:
        with _opener(request.type, ca).open(request, timeout=UPLOAD_TIMEOUT_SECONDS) as response:
            status = int(response.status)
    except LOST as error:
        raise CannotTell("unreachable", f"The store does not respond ({reason(error)}).") from None
    if status not in {200, 201, 204}:
        raise CannotTell("not_stored", f"The store did not take the file (HTTP {status}).")


def get_url(url: str, token: str, limit_bytes: int) -> bytes:
    """GET a URL of this machine's surroundings with a token for it. Raises CannotTell."""
    require_safe(url)
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310  # as above
    ends_at = time.monotonic() + TIMEOUT_SECONDS
    try:
        with _opener(request.type, None).open(request, timeout=TIMEOUT_SECONDS) as response:
            status, body = int(response.status), _read(response, limit_bytes, ends_at)
    except (OSError, http.client.HTTPException, Malformed) as error:
        raise CannotTell("unreachable", f"No identity token can be had ({reason(error)}).") from None
    if status != 200:
        raise CannotTell("no_identity", f"No identity token can be had (HTTP {status}).")
    return body


def _opener(scheme: str, ca: str | None) -> urllib.request.OpenerDirector:
    """Put together by hand: without a redirect handler, and without those for files and FTP."""
    opener = urllib.request.OpenerDirector()
    if scheme == "http":  # only for loopback, where a proxy would be one more reader of the token
        opener.add_handler(urllib.request.HTTPHandler())
        return opener
    opener.add_handler(urllib.request.ProxyHandler())
    opener.add_handler(urllib.request.HTTPSHandler(context=_tls(ca)))
    return opener


@cache
def _tls(ca: str | None) -> ssl.SSLContext:
    """Certificates and the host's name are checked; nothing can switch that off. The system's: or of SSL_CERT_FILE."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise WrongUse("bad_ca", f"{ca} contains no certificates.", "Choose a PEM file with --ca.") from None


def _proxy_authorization(way: SplitResult) -> dict[str, str]:
    if way.username is None:
        return {}
    known = f"{unquote(way.username)}:{unquote(way.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(known.encode()).decode('ascii')}"}


def _read(response: http.client.HTTPResponse, limit_bytes: int, ends_at: float) -> bytes:
    """Read a body within its limit and time: a server that drips a byte at a time never meets a socket's timeout."""
    body = bytearray()
    while chunk := response.read1(min(_CHUNK_BYTES, limit_bytes + 1 - len(body))):
        body += chunk
        if len(body) > limit_bytes:
            raise Malformed(f"it is larger than {limit_bytes} bytes")
        if time.monotonic() > ends_at:
            raise TimeoutError
    if response.length:
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)


def _require_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.scheme not in {"http", "https"} or not _VISIBLE.fullmatch(endpoint):
        raise WrongUse(
            "bad_endpoint", "The endpoint is not a valid address.", "Use the form https://weights.example.org."
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise WrongUse(
            "bad_endpoint",
            "The endpoint must not contain a user, password, query or fragment.",
            "Use the form https://weights.example.org, and pass the token with --token-file or WEIGHTGATE_TOKEN.",
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise WrongUse("bad_endpoint", "Over plain HTTP, anyone on the network can read the token.", "Use https://.")


@lru_cache(16)
def _require_origin(origin: str) -> None:
    """The thousand files of a checkpoint lie in a store or two. Raises as the endpoint's check, each time."""
    _require_endpoint(origin)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reason(error: Exception) -> str:
    """Why, in words of ours: what an exception says may quote what the server sent."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "its certificate is not trusted"
    if isinstance(cause, TimeoutError):
        return "timed out"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    return type(cause).__name__
