"""Access logs of an object store: from lines to reads, whatever wrote them; the format is told by the content.

Five kinds are known: S3 server access logs, CloudFront standard logs, the ops log of Ceph's gateway, MinIO's audit log,
and the lines of nginx in front of a store, the embedded one or another. A line may hold whatever a client sent: no
line raises, and one that cannot be read is counted, with a few redacted examples.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import orjson

from server.logger import without_links
from server.text import printable

EXAMPLES_AT_MOST, EXAMPLE_CHARACTERS = 5, 120
BYTES_AT_MOST = 1 << 46  # of one answer: no store has objects of 64 TiB; sums stay far from what a database can hold
MOMENTS_MS = range(253_402_300_800_000)  # to the end of the year 9999, the last that can be told
LOOKED_AT_AT_MOST = 100  # lines of a block in which a known format is looked for
SUCCESS = (200, 206)
GET, COPY = "GET", "COPY"  # how an object's content leaves; COPY: into another object, by the store itself


class Read(NamedTuple):
    """One request about one object, as the store tells it."""

    request_key: bytes  # the store's own name for the request: a line that comes twice has it twice
    at_ms: int  # when it began, since 1970, UTC
    method: str  # GET and COPY take an object's content; any other word does not
    status: int
    bytes_sent: int  # of the content
    object_key: str
    address: str
    download_id: str | None  # on a successful GET only, where it was signed: anyone can be refused with any id
    by: str  # which identity signed, as the log names it; "" where it does not
    bucket: str | None  # None where the log does not name it
    range: str | None  # None where the log does not tell, or none was asked for
    agent: str | bytes | None  # bytes: the rest of an S3 line, in which `user_agent` finds it if ever asked

    @property
    def user_agent(self) -> str | None:
        """The client's word. In an S3 line, the second of two quoted texts that may hold quotes themselves: which of
        them divides the two is the client's to blur, but none can be put after the line's last one."""
        if not isinstance(self.agent, bytes):
            return self.agent
        start, end = self.agent.find(b'" "') + 3, self.agent.rfind(b'"')
        return self.agent[start:end].decode("utf-8", "replace") if 3 <= start <= end else None


# Whatever a broken line makes of a parser.
BROKEN = (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError)


class Format(Protocol):
    """Reads the lines of one kind of log, in their order."""

    def read(self, line: bytes) -> Read | None:
        """Return the request, None for a line about none. Raises one of BROKEN."""
        ...


@dataclass
class Tally:
    """How the reading went."""

    lines: int = 0
    about_nothing: int = 0  # lines that are no request about an object
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)  # of unreadable lines, without what could open anything

    def refuse(self, line: bytes) -> None:
        self.unreadable += 1
        if len(self.examples) < EXAMPLES_AT_MOST:
            self.examples.append(redacted(line))


class LogReader:
    """Reads one log. Give it the blocks of lines in their order."""

    def __init__(self, formats: Iterable[Callable[[bytes], Format | None]], tally: Tally) -> None:
        """formats: each returns its reader if the line can only be its own."""
        self._known = tuple(formats)
        self._format: Format | None = None
        self._tally = tally

    def reads(self, lines: list[bytes]) -> list[Read]:
        """Return the requests of one block."""
        if self._format is None:
            self._format = self._told_by(lines)
        read = _nothing_known if self._format is None else self._format.read
        found: list[Read] = []
        take = found.append
        empty, before = 0, self._tally.unreadable
        for line in lines:
            try:
                if (request := read(line)) is not None:
                    take(request)
            except BROKEN:
                if line:
                    self._tally.refuse(line)
                else:
                    empty += 1
        count = len(lines) - empty
        self._tally.lines += count
        self._tally.about_nothing += count - len(found) - (self._tally.unreadable - before)
        return found

    def _told_by(self, lines: list[bytes]) -> Format | None:
        for line in lines[:LOOKED_AT_AT_MOST]:
            for known in self._known:
                if (found := known(line)) is not None:
                    return found
        return None


def json_object(line: bytes) -> Any:
    """Return what a line of JSON says, also where a client sent bytes that are not UTF-8. Raises ValueError."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return orjson.loads(line.decode("utf-8", "replace"))


def tells_who(status: int) -> bool:
    """Whether an answer means that the signature held. Whoever is refused names whichever key they like."""
    return 200 <= status < 300 or status == 404


def possible(read: Read) -> Read:
    """Return a read as it is. Raises ValueError where a number in it is none that a store writes."""
    if not 0 <= read.bytes_sent <= BYTES_AT_MOST or read.at_ms not in MOMENTS_MS:
        raise ValueError("not a valid time or number of bytes")
    return read


def _nothing_known(_line: bytes) -> Read | None:
    raise ValueError("not an access log")


_NAME = "x-download-id"
_PLAIN, _ID_LENGTH = b"x-download-id=", 36
_BEFORE, _AFTER = b"?&", (b"", b"&")


def signed_id(target: bytes) -> str | None:
    """Return the download id in a request's target (path?query) that the store has accepted; None where there is none.

    Names and values are decoded as the store does before it checks the signature, so a disguised one counts as well.
    One that is there twice is the id of nothing: both are returned, joined.
    """
    # As our signer writes it, found without taking the query apart: this is asked of every line.
    query_at = target.find(b"?")
    if query_at < 0:
        return None
    at = target.find(_PLAIN, query_at)
    start, end = at + len(_PLAIN), at + len(_PLAIN) + _ID_LENGTH
    if at > 0 and target[at - 1] in _BEFORE and target[end : end + 1] in _AFTER and target.find(_PLAIN, end) < 0:
        return target[start:end].decode("ascii", "replace")
    query = target[query_at + 1 :].decode("utf-8", "replace")
    pairs = (part.partition("=") for part in query.split("&"))
    values = [unquote(value) for name, _, value in pairs if unquote(name) == _NAME]
    return ",".join(values) if values else None


def decoded(text: bytes) -> str:
    """Return a URL-encoded field as text. Some logs encode twice, and no key of ours holds a percent sign."""
    plain = text.decode("utf-8", "replace")
    for _ in range(2):
        if "%" not in plain:
            break
        plain = unquote(plain)
    return plain


# Any run of letters that is long enough to be a secret.
_LONG = re.compile(r"[A-Za-z0-9+/=_~%-]{16,}")


def redacted(line: bytes) -> str:
    """Return the start of foreign text as one printable line, from which nothing can be fetched."""
    text = _LONG.sub("…", without_links(line[:2000].decode("utf-8", "replace")))
    return printable(text[:EXAMPLE_CHARACTERS])
