"""CloudFront standard logs: tab separated, fields named by the `#Fields:` line, values URL-encoded.

`sc-bytes` counts headers too, so where the length of the content is told, no more than that counts as sent. Date and
time are those of the answer's end, to the second, and time-taken leads back to the start.
"""

import re
from calendar import timegm

from server.storage.access_logs import GET, SUCCESS, Read, decoded, possible, signed_id

_FIELDS = b"#Fields:"
_MOMENT = re.compile(rb"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)")
_NEEDED = (b"date", b"time", b"sc-bytes", b"c-ip", b"cs-method", b"cs-uri-stem", b"sc-status", b"cs-uri-query",
           b"x-edge-request-id")  # fmt: skip
_OPTIONAL = (b"time-taken", b"sc-content-len", b"sc-range-start", b"sc-range-end", b"cs(User-Agent)")


def of(line: bytes) -> "CloudFrontFormat | None":
    return CloudFrontFormat() if line.startswith((b"#Version:", _FIELDS)) else None


class CloudFrontFormat:
    """Reads lines after a `#Fields:` line, and obeys each later one: files may have been joined."""

    def __init__(self) -> None:
        self._needed: tuple[int, ...] = ()
        self._optional: tuple[int | None, ...] = ()
        self._count = 0
        self._moments: dict[bytes, int] = {}

    def read(self, line: bytes) -> Read | None:
        if line.startswith(b"#"):
            if line.startswith(_FIELDS):
                self._name(line)
            return None
        values = line.rstrip(b"\r").split(b"\t")
        if len(values) != self._count:
            raise ValueError("not as many values as fields")
        date, time, sent, address, method, stem, status, query, request_key = [values[place] for place in self._needed]
        taken, length, start, end, agent = [None if i is None else values[i] for i in self._optional]
        code, bytes_sent = int(status), _number(sent)
        word = method.decode("ascii")
        is_get = word == GET and code in SUCCESS
        return possible(Read(
            request_key,
            self._moment(date + b" " + time) - (0 if taken is None else round(float(taken) * 1000)),
            word if word != "COPY" else "copy",  # a client's own word; to us it means the store's own copying
            code,
            bytes_sent if length in (None, b"-") else min(bytes_sent, _number(length)),
            decoded(stem).lstrip("/"),
            address.decode("ascii"),
            signed_id(b"?" + query) or signed_id(b"?" + decoded(query).encode()) if is_get else None,
            "",
            None,
            None if start in (None, b"-") or end is None else f"bytes={start.decode()}-{end.decode()}",
            None if agent is None else decoded(agent),
        ))  # fmt: skip

    def _name(self, line: bytes) -> None:
        names = line[len(_FIELDS) :].split()
        self._needed, self._count = (), -1  # a header without what is needed makes every line unreadable
        self._needed = tuple(names.index(name) for name in _NEEDED)
        self._optional = tuple(names.index(name) if name in names else None for name in _OPTIONAL)
        self._count = len(names)

    def _moment(self, text: bytes) -> int:
        at_ms = self._moments.get(text)
        if at_ms is None:
            match = _MOMENT.fullmatch(text)
            if match is None:
                raise ValueError("not a valid time")
            year, month, day, hour, minute, second = map(int, match.groups())
            at_ms = timegm((year, month, day, hour, minute, second)) * 1000
            if len(self._moments) >= 4096:
                self._moments.clear()
            self._moments[text] = at_ms
        return at_ms


def _number(text: bytes | None) -> int:
    return 0 if text in (None, b"-") else int(text)
