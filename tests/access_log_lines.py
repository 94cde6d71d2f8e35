"""Lines of access logs as the stores write them, for tests and the bench."""

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from server.domain.downloads.issuing import Download

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261101%2Feu-central-1%2Fs3%2F"
    "aws4_request&X-Amz-Date=20261101T000157Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "5e" * 32
)
SIGNER = "arn:aws:iam::123456789012:user/weightgate-signer"
CLOUDFRONT_FIELDS = [
    "date",
    "time",
    "x-edge-location",
    "sc-bytes",
    "c-ip",
    "cs-method",
    "cs(Host)",
    "cs-uri-stem",
    "sc-status",
    "cs(Referer)",
    "cs(User-Agent)",
    "cs-uri-query",
    "cs(Cookie)",
    "x-edge-result-type",
    "x-edge-request-id",
    "x-host-header",
    "cs-protocol",
    "cs-bytes",
    "time-taken",
    "x-forwarded-for",
    "ssl-protocol",
    "ssl-cipher",
    "x-edge-response-result-type",
    "cs-protocol-version",
    "fle-status",
    "fle-encrypted-fields",
    "c-port",
    "time-to-first-byte",
    "x-edge-detailed-result-type",
    "sc-content-type",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
]
CLOUDFRONT_HEAD = f"#Version: 1.0\n#Fields: {' '.join(CLOUDFRONT_FIELDS)}\n"


class Wanted(NamedTuple):
    """What a line is to tell."""

    at: datetime
    key: str
    download_id: str | None
    bytes_sent: int = 1000
    request_id: str = "7YJ1X1PJ3Z8K5V2M"
    address: str = "192.0.2.3"
    status: int = 206
    user_agent: str = "python-requests/2.31.0"
    referer: str = "-"
    by: str = SIGNER
    bucket: str = "weights"

    @property
    def query(self) -> str:
        return SIGNED if self.download_id is None else f"x-download-id={self.download_id}&{SIGNED}"


@dataclass(frozen=True)
class S3Words:
    """The fields of an S3 line that say nothing to us."""

    operation: str = "REST.GET.OBJECT"
    method: str = "GET"
    tail: str = "- " + "A" * 76 + " SigV4 TLS_AES_128_GCM_SHA256 QueryString weights.s3.amazonaws.com TLSv1.3 - -"


def s3_line(wanted: Wanted, words: S3Words = S3Words()) -> str:
    at = wanted.at.astimezone(UTC)
    moment = f"{at:%d}/{MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000"
    key = quote(wanted.key, safe="/")
    return (
        f"{'79a59df900b949e5' * 4} {wanted.bucket} [{moment}] {wanted.address} {wanted.by} {wanted.request_id} "
        f'{words.operation} {key} "{words.method} /{key}?{wanted.query} HTTP/1.1" {wanted.status} - '
        f'{wanted.bytes_sent or "-"} 4967535616 217 31 "{wanted.referer}" "{wanted.user_agent}" {words.tail}'
    )


def cloudfront_line(wanted: Wanted) -> str:
    """time-taken is 0: the answer ends when it began."""
    at = wanted.at.astimezone(UTC)
    known = {
        "date": f"{at:%Y-%m-%d}",
        "time": f"{at:%H:%M:%S}",
        "sc-bytes": str(wanted.bytes_sent + 417),  # headers
        "c-ip": wanted.address,
        "cs-method": "GET",
        "cs-uri-stem": "/" + quote(wanted.key, safe="/"),
        "sc-status": str(wanted.status),
        "cs(Referer)": quote(wanted.referer),
        "cs(User-Agent)": quote(wanted.user_agent),
        "cs-uri-query": wanted.query,
        "x-edge-request-id": wanted.request_id,
        "time-taken": "0.000",
        "sc-content-len": str(wanted.bytes_sent),
    }
    return "\t".join(known.get(field, "-") for field in CLOUDFRONT_FIELDS)


def embedded_line(wanted: Wanted, **more: object) -> str:
    told = {
        "ended_at": wanted.at.timestamp(),
        "request_id": wanted.request_id,
        "duration_seconds": 0.0,
        "remote_address": wanted.address,
        "method": "GET",
        "bucket": wanted.bucket,
        "key": wanted.key,
        "download_id": wanted.download_id or "",
        "access_key_id": wanted.by,
        "status": wanted.status,
        "bytes_sent": wanted.bytes_sent,
        "range": "",
        "object_size_bytes": None,
        "user_agent": wanted.user_agent,
    }
    return json.dumps(told | more, ensure_ascii=False, separators=(",", ":"))


def radosgw_line(wanted: Wanted, **more: object) -> str:
    """As Ceph 18 writes it; `object=""` makes it a line of an older one."""
    at = f"{wanted.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    told = {
        "bucket": wanted.bucket, "object": wanted.key, "time": at, "time_local": at, "remote_addr": wanted.address,
        "user": "signer", "operation": "get_obj",
        "uri": f"GET /{wanted.bucket}/{quote(wanted.key, safe='/')}?{wanted.query} HTTP/1.1",
        "http_status": str(wanted.status), "error_code": "", "bytes_sent": wanted.bytes_sent, "bytes_received": 0,
        "object_size": 4967535616, "total_time": 217, "user_agent": wanted.user_agent, "referrer": wanted.referer,
        "trans_id": wanted.request_id, "authentication_type": "Local", "access_key_id": wanted.by, "temp_url": False,
    }  # fmt: skip
    return json.dumps(told | more)


def minio_line(wanted: Wanted, **more: object) -> str:
    """timeToResponse is 0: the answer ends when it began."""
    signed = dict(part.split("=", 1) for part in wanted.query.split("&"))
    told = {
        "version": "1", "deploymentid": "8ca2b7ad-20cf-4d07-9efb-28b2f519f4a5",
        "time": f"{wanted.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}903Z", "event": "", "trigger": "incoming",
        "api": {
            "name": "GetObject", "bucket": wanted.bucket, "object": wanted.key, "status": "OK",
            "statusCode": wanted.status, "rx": 0, "tx": wanted.bytes_sent, "txHeaders": 555,
            "timeToFirstByte": "0ns", "timeToResponse": "0ns", "timeToResponseInNS": "0",
        },
        "remotehost": wanted.address, "requestID": wanted.request_id, "userAgent": wanted.user_agent,
        "requestPath": f"/{wanted.bucket}/{wanted.key}", "requestHost": "s3.example.org", "requestQuery": signed,
        "requestHeader": {"Range": "bytes=0-999"}, "responseHeader": {}, "accessKey": wanted.by,
    }  # fmt: skip
    return json.dumps(told | more)


def read_of(download: Download, at: datetime, path: str | None = None, **more: Any) -> Wanted:
    """A whole fetch of one file of a download, by who asked for it; `more` replaces what it tells."""
    file = next(file for file in download.files if path in (None, file.path))
    request_id = uuid.uuid4().hex[:16].upper()
    told: dict[str, Any] = {"bytes_sent": file.size_bytes, "address": "127.0.0.1", "request_id": request_id}
    return Wanted(at, file.stored.key, download.id)._replace(**told | more)


def write_log(path: Path, wanted: Iterable[Wanted], line: Callable[[Wanted], str] = s3_line) -> str:
    """Write a log of these lines, and return its name."""
    head = CLOUDFRONT_HEAD if line is cloudfront_line else ""
    path.write_text(head + "".join(line(each) + "\n" for each in wanted), encoding="utf-8")
    return str(path)
