"""MinIO's audit log, one JSON object a line: what its audit webhook posts, collected in a file.

A line is dated when the answer ended. It holds the query, signature included: keep such files private.
"""

from datetime import datetime

from server.storage.access_logs import GET, SUCCESS, Read, json_object, possible, tells_who

_METHODS = {"GetObject": GET}  # others are named by their operation; a copy tells its target, never what was read


def of(line: bytes) -> "MinioFormat | None":
    try:
        told = json_object(line)
        return MinioFormat() if "requestID" in told and "api" in told else None
    except (ValueError, TypeError):
        return None


class MinioFormat:
    """Reads lines; has nothing to remember."""

    def read(self, line: bytes) -> Read | None:
        told = json_object(line)
        if told == {}:  # MinIO tries its webhook with it
            return None
        api, query = told["api"], told.get("requestQuery") or {}
        key = str(api.get("object") or "")
        if not key:  # about the bucket or the server, or refused before it was about anything: that has no name either
            return None
        operation, status = str(api["name"]), int(api["statusCode"])
        method = _METHODS.get(operation, operation)
        is_get = method == GET and status in SUCCESS
        ended_at = datetime.fromisoformat(str(told["time"]))
        return possible(Read(
            str(told["requestID"]).encode(),
            round(ended_at.timestamp() * 1000 - int(api["timeToResponse"].removesuffix("ns")) / 1e6),
            method,
            status,
            int(api["tx"]),
            key,
            str(told["remotehost"]),
            str(query["x-download-id"]) if is_get and "x-download-id" in query else None,  # one sent twice has a comma
            str(told.get("accessKey") or "") if tells_who(status) else "",
            str(api["bucket"]),
            (told.get("requestHeader") or {}).get("Range"),
            str(told.get("userAgent") or "") or None,
        ))  # fmt: skip
