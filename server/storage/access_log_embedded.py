"""The embedded store's own access log, and that of deploy/nginx-outside-store.conf, which writes the same lines.

One JSON object a line; `embedded_config.py` says what each field means.
"""

import hashlib

from server.storage.access_logs import COPY, GET, SUCCESS, Read, json_object, possible, tells_who


def of(line: bytes) -> "EmbeddedFormat | None":
    try:
        return EmbeddedFormat() if "ended_at" in json_object(line) else None
    except (ValueError, TypeError):
        return None


def always(_line: bytes) -> "EmbeddedFormat":
    """For a log that is known to be of this kind, whatever its first line looks like."""
    return EmbeddedFormat()


class EmbeddedFormat:
    """Reads lines; has nothing to remember."""

    def read(self, line: bytes) -> Read | None:
        told = json_object(line)
        status, method, key = int(told["status"]), str(told["method"]), str(told["key"])
        if not key:  # about the bucket
            return None
        is_get = method == GET and status in SUCCESS
        request_id = told.get("request_id")
        agent, id_told = told["user_agent"], told["download_id"]
        if not isinstance(agent, str) or not isinstance(id_told, str):
            raise TypeError("a text field is missing")
        return possible(Read(
            # Lines of before there was an id: a line that comes twice is at least the same twice.
            hashlib.blake2b(line, digest_size=16).digest() if request_id is None else str(request_id).encode(),
            round((told["ended_at"] - told["duration_seconds"]) * 1000),
            method if method != COPY else "copy",  # a client's own word; to us it means the store's own copying
            status,
            int(told["bytes_sent"]),
            key,
            str(told["remote_address"]),
            (id_told or None) if is_get else None,
            str(told["access_key_id"]) if tells_who(status) else "",
            str(told["bucket"]),
            str(told["range"]) or None,
            agent or None,
        ))  # fmt: skip
