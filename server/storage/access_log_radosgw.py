"""The ops log of Ceph's gateway (`rgw_ops_log_file_path`): one JSON object a line, dated when the request began.

Newer gateways name the object; older ones only quote the request, whose path may begin with the bucket, and (Ceph 16)
quote its query twice: `path?query?query`. Asking only for the headers is the operation `get_obj` as well.
"""

from datetime import datetime
from typing import Any

from server.storage.access_logs import GET, SUCCESS, Read, decoded, json_object, possible, signed_id

_METHODS = {"get_obj": GET}  # others are named by their operation; a copy tells its target, never what was read


def of(line: bytes) -> "RadosgwFormat | None":
    try:
        return RadosgwFormat() if "trans_id" in json_object(line) else None
    except (ValueError, TypeError):
        return None


class RadosgwFormat:
    """Reads lines; has nothing to remember."""

    def read(self, line: bytes) -> Read | None:
        told = json_object(line.rstrip(b","))  # what was taken from the gateway's socket is one long list
        word, target = str(told["uri"]).encode().split(b" ")[:2]
        target = _once(target)
        bucket, operation, status = str(told["bucket"]), str(told["operation"]), int(told["http_status"])
        key = str(told.get("object") or "") or _key_in(target, bucket)
        if not key:  # about the bucket
            return None
        method = _METHODS.get(operation, operation) if word == b"GET" else operation
        return possible(Read(
            str(told["trans_id"]).encode(),
            _ms(told["time"]),
            method,
            status,
            int(told["bytes_sent"]),
            key,
            str(told["remote_addr"]),
            signed_id(target) if method == GET and status in SUCCESS else None,
            _identity(told) if status in SUCCESS or status == 404 else "",
            bucket,
            None,  # the gateway does not tell the range
            str(told["user_agent"]) or None,
        ))  # fmt: skip


def _identity(told: Any) -> str:
    """Which key signed; of a session, which one, as S3's own access logs name it. A role is `tenant$name` here."""
    if told.get("authentication_type") == "STS":
        session = told["sts_info"]
        tenant, _, role = str(session["role_name"]).rpartition("$")
        return f"arn:aws:sts::{tenant}:assumed-role/{role}/{session['role_session']}"
    return str(told.get("access_key_id") or told["user"])


def _once(target: bytes) -> bytes:
    path, _, query = target.partition(b"?")
    half = len(query) // 2
    return path + b"?" + query[:half] if query[half:] == b"?" + query[:half] else target


def _key_in(target: bytes, bucket: str) -> str:
    path = decoded(target.partition(b"?")[0]).lstrip("/")
    return "" if path == bucket else path.removeprefix(f"{bucket}/")


def _ms(moment: Any) -> int:
    """Return the milliseconds of `2026-11-01T00:01:57.250000Z`; some gateways write a blank for the T, and no Z."""
    at = datetime.fromisoformat(str(moment).rstrip("Z") + "+00:00")
    return round(at.timestamp() * 1000)
