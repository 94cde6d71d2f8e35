"""S3 server access logs. One line a request, fields between single spaces:

bucket_owner bucket [time] remote_ip requester request_id operation key "request-uri" http_status error_code bytes_sent
object_size total_ms turnaround_ms "referer" "user_agent" version_id host_id … (more at the end, and more to come)

Referer and user agent are the client's own words and not escaped: quotes and spaces in them are common. So the head is
read from the left, up to turnaround; of the two only what lies between its end and the last quotation mark of the line
is looked at. A request's target cannot hold a space (the store answers 400), so nothing in it can pass for a status.
"""

import re
from calendar import timegm

from server.storage.access_logs import BYTES_AT_MOST, COPY, GET, SUCCESS, Read, decoded, signed_id

_START = re.compile(rb"[^ ]+ [^ ]+ \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] [^ ]+ ")
_MINUTE = re.compile(rb"\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), start=1
    )
}
_MINUTES_KEPT = 4096
_MOMENT_BYTES = 21
_METHODS = {  # others are named by their operation
    b"REST.GET.OBJECT": GET, b"WEBSITE.GET.OBJECT": GET, b"SOAP.GET.OBJECT": GET,
    b"REST.COPY.OBJECT_GET": COPY, b"REST.COPY.PART_GET": COPY,
}  # fmt: skip
_FIELDS = 18  # up to turnaround, the request's target taken as three


def of(line: bytes) -> "S3Format | None":
    return S3Format() if _START.match(line) else None


class S3Format:
    """Reads lines; remembers the minutes that it met, since many lines share one."""

    def __init__(self) -> None:
        self._minutes: dict[bytes, int] = {}

    def read(self, line: bytes) -> Read | None:
        parts = line.split(b" ", _FIELDS)
        operation, key, moment = parts[7], parts[8], parts[2]
        if parts[3] != b"+0000]" or len(moment) != _MOMENT_BYTES:
            raise ValueError("not an S3 access log line")
        minute = self._minutes.get(moment[:19])
        at_ms = (self._minute(moment[:19]) if minute is None else minute) + int(moment[19:]) * 1000
        if parts[9] == b'"-"' or key == b"-":  # nobody's request (a lifecycle rule), or one about no object
            return None
        status, bytes_sent = int(parts[12]), 0 if parts[14] == b"-" else int(parts[14])
        if parts[9][:1] != b'"' or parts[11][-1:] != b'"' or not 0 <= bytes_sent <= BYTES_AT_MOST:
            raise ValueError("the request is not method, target and protocol, or no number of bytes follows")
        method = _METHODS.get(operation) or operation.decode("ascii")
        # Half the time that Read(…) takes, on every line.
        return tuple.__new__(
            Read,
            (
                parts[6],
                at_ms,
                method,
                status,
                bytes_sent,
                decoded(key) if b"%" in key else key.decode(),
                parts[4].decode(),
                signed_id(parts[10]) if method == GET and status in SUCCESS else None,
                parts[5].decode(),
                parts[1].decode(),
                None,  # S3 does not tell the range
                parts[18],
            ),
        )

    def _minute(self, text: bytes) -> int:
        """Return the milliseconds of `[06/Feb/2026:00:01:`, and remember them."""
        match = _MINUTE.fullmatch(text)
        if match is None:
            raise ValueError("not a valid time")
        day, month, year, hour, minute = match.groups()
        if len(self._minutes) >= _MINUTES_KEPT:
            self._minutes.clear()
        at_ms = timegm((int(year), _MONTHS[month], int(day), int(hour), int(minute), 0)) * 1000
        self._minutes[text] = at_ms
        return at_ms
