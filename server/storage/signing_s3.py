"""Signed GET URLs for S3: byte for byte those of botocore's SigV4 presigner, made in batches and far faster."""

import copy
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import SplitResult, quote, urlsplit

from server.storage.keys import S3Credentials
from server.storage.signing import NOBODY, Recipient, StoredObject, object_query, require_sensible

if TYPE_CHECKING:
    from hashlib import _Hash

Addressing = Literal["path", "virtual"]

_ALGORITHM = "AWS4-HMAC-SHA256"
_HMAC_BLOCK_BYTES = 64  # RFC 2104, for SHA-256
_BUCKET = re.compile(r"(?=.{3,63}\Z)[a-z0-9](-*[a-z0-9])*(\.[a-z0-9](-*[a-z0-9])*)*")
_RESERVED_BUCKET = re.compile(r"[0-9.]+|.*--[a-z0-9]+-s3")  # addresses, and kinds of bucket that are signed differently
_REGION = re.compile(r"(?=.{1,63}\Z)(?![0-9]+\Z)[a-z0-9](-*[a-z0-9])*")
_AWS_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_HOST_NAME = re.compile(r"[a-z0-9](-*[a-z0-9])*(\.[a-z0-9](-*[a-z0-9])*)*|[0-9a-f:]*:[0-9a-f:.]*")
_NEVER_IN_ENDPOINT = re.compile(r"[@?#\s]")  # user, query, fragment; and what urlsplit drops without a word
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)  # RFC 3986, section 2.3: stands in a URL as it is
_DEFAULT_PORTS = {"http": 80, "https": 443}


class S3Signer:
    """Signs GET URLs for one bucket. Safe to share between threads; its text never shows the secret."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        region: str,
        bucket: str,
        addressing: Addressing,
        credentials: S3Credentials,
        clock: Callable[[], datetime],
    ) -> None:
        """endpoint_url: None means AWS. Raises ValueError where botocore would quietly sign for another place."""
        _require_bucket(bucket, addressing)
        _require_region(region, on_aws=endpoint_url is None)
        place = f"https://s3.{region}.{_aws_domain(region)}" if endpoint_url is None else endpoint_url
        endpoint = _split_endpoint(place, addressing)
        prefix = f"{bucket}." if addressing == "virtual" else ""
        self.endpoint_url, self.region, self.bucket, self.addressing = endpoint_url, region, bucket, addressing
        self.origin = f"{endpoint.scheme}://{prefix}{endpoint.netloc}"
        self._host = prefix + _host_header(endpoint)
        self._base_path = "/" if addressing == "virtual" else f"/{bucket}/"
        self._credentials = credentials
        self._clock = clock
        self._day_key = self._derive("no day")  # replaced at the first signing

    def __repr__(self) -> str:
        return f"S3Signer({self.origin}{self._base_path}, {self.region})"

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, as every UrlSigner does."""
        del recipient  # SigV4 binds to nobody; a session's policy can
        now = self._clock()
        require_sensible(download_id, lifetime_seconds, moment, now)
        batch = self._batch(download_id, lifetime_seconds, now if moment is None else moment)
        sha256 = hashlib.sha256
        urls = []
        for key, filename, version_id in objects:
            if not key:
                raise ValueError("an object key is empty: a URL for it would list the bucket")
            path = self._base_path + quote(key, safe="/")
            extra = "" if filename is None and version_id is None else object_query(filename, version_id)
            request = f"GET\n{path}\n{batch.auth_sorted}{extra}{batch.request_end}"
            # HMAC by its definition, from hash states that have already read the key: 2.4 times hmac.digest.
            inner = batch.inner.copy()
            inner.update(sha256(request.encode()).hexdigest().encode())
            outer = batch.outer.copy()
            outer.update(inner.digest())
            urls.append(f"{self.origin}{path}?{extra}{batch.url_end}{outer.hexdigest()}")
        return urls

    def with_clock(self, clock: Callable[[], datetime]) -> Self:
        """Return a twin that dates its URLs by another clock; by a stopped one, they can be compared with others'."""
        twin = copy.copy(self)
        twin._clock = clock
        return twin

    def _batch(self, download_id: str, lifetime_seconds: int, moment: datetime) -> "_Batch":
        """Everything that the URLs of one call share. `:d` below also refuses a lifetime that is not whole."""
        timestamp = moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        day_key = self._key_of(timestamp[:8])
        scope = self._scope(timestamp[:8])
        start = (
            f"X-Amz-Algorithm={_ALGORITHM}"
            f"&X-Amz-Credential={day_key.credential}"
            f"&X-Amz-Date={timestamp}&X-Amz-Expires={lifetime_seconds:d}"
        )
        token = self._credentials.session_token
        token_query = "" if token is None else f"&X-Amz-Security-Token={quote(token, safe='')}"
        download = f"x-download-id={download_id if _UNRESERVED.fullmatch(download_id) else quote(download_id, safe='')}"
        inner = day_key.inner.copy()
        inner.update(f"{_ALGORITHM}\n{timestamp}\n{scope}\n".encode())
        return _Batch(
            # Signed in the order of the alphabet; sent in botocore's: the token last, our own parameters first.
            auth_sorted=f"{start}{token_query}&X-Amz-SignedHeaders=host&",
            request_end=f"{download}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD",
            url_end=f"{download}&{start}&X-Amz-SignedHeaders=host{token_query}&X-Amz-Signature=",
            inner=inner,
            outer=day_key.outer,
        )

    def _key_of(self, day: str) -> "_DayKey":
        # No lock: the attribute holds one finished key or another, and two threads at midnight derive the same one.
        day_key = self._day_key
        if day_key.day != day:
            day_key = self._day_key = self._derive(day)
        return day_key

    def _scope(self, day: str) -> str:
        return f"{day}/{self.region}/s3/aws4_request"

    def _derive(self, day: str) -> "_DayKey":
        key = b"AWS4" + self._credentials.secret_access_key.encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(_HMAC_BLOCK_BYTES, b"\0")
        return _DayKey(
            day=day,
            credential=quote(f"{self._credentials.access_key_id}/{self._scope(day)}", safe=""),
            inner=hashlib.sha256(bytes(byte ^ 0x36 for byte in block)),
            outer=hashlib.sha256(bytes(byte ^ 0x5C for byte in block)),
        )


@dataclass(frozen=True, slots=True, repr=False)
class _DayKey:
    """HMAC-SHA-256 under the signing key of one UTC day: its two hashes, each having read its padded key.

    credential: what a URL says of the key, in the form in which it stands there.
    """

    day: str
    credential: str
    inner: "_Hash"
    outer: "_Hash"


@dataclass(frozen=True, slots=True, repr=False)
class _Batch:
    """The text around path and object query, in the canonical request and in the URL."""

    auth_sorted: str
    request_end: str
    url_end: str
    inner: "_Hash"
    outer: "_Hash"


def _require_bucket(bucket: str, addressing: Addressing) -> None:
    if not _BUCKET.fullmatch(bucket) or _RESERVED_BUCKET.fullmatch(bucket):
        raise ValueError(
            f"{bucket!r} is not a valid bucket name: use 3 to 63 lowercase letters, digits, dots and hyphens"
        )
    if addressing == "virtual" and "." in bucket:
        raise ValueError(f"bucket {bucket!r} has a dot, which breaks TLS in a host name: use path addressing")


def _require_region(region: str, *, on_aws: bool) -> None:
    if not _REGION.fullmatch(region) or region == "aws-global" or "fips" in region.split("-"):
        raise ValueError(f"{region!r} is not a valid region: use the bucket's own region, such as eu-central-1")
    if on_aws and (not _AWS_REGION.fullmatch(region) or _aws_domain(region) is None):
        raise ValueError(f"{region!r} is not a known AWS region: set the endpoint URL")


def _aws_domain(region: str) -> str | None:
    """Return what follows `s3.<region>.` in AWS host names; None for isolated partitions, whose hosts differ."""
    if region.startswith("cn-"):
        return "amazonaws.com.cn"
    return None if "-iso" in region else "amazonaws.com"


def _split_endpoint(endpoint_url: str, addressing: Addressing) -> SplitResult:
    # The message must not repeat the URL: somebody may have put a password into it.
    complaint = "the endpoint URL must be http:// or https:// with a host name and, if needed, a port; nothing else"
    try:
        endpoint = urlsplit(endpoint_url)
        host, _ = endpoint.hostname or "", endpoint.port
    except ValueError:
        raise ValueError(complaint) from None
    extras = endpoint.path not in ("", "/") or endpoint.netloc.endswith(":") or _NEVER_IN_ENDPOINT.search(endpoint_url)
    if endpoint.scheme not in _DEFAULT_PORTS or not _HOST_NAME.fullmatch(host) or extras:
        raise ValueError(complaint)
    if addressing == "virtual" and (":" in host or host.rpartition(".")[2].isdigit()):
        raise ValueError("the endpoint is an IP address, which cannot carry the bucket's name: use path addressing")
    return endpoint


def _host_header(endpoint: SplitResult) -> str:
    """Return what HTTP clients send as Host: lower case, and no port where it is the scheme's own."""
    host = endpoint.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if endpoint.port in (None, _DEFAULT_PORTS[endpoint.scheme]) else f"{host}:{endpoint.port}"
