"""Damaged signed requests on the wire: proxy and server of the real S3 door take none that means something else."""

import contextlib
import http.client
import itertools
import random
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from botocore.awsrequest import AWSRequest

from server.storage.embedded import EmbeddedStore
from tests import s3
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor
from tests.e2e.working import working
from tests.world import World

SEED = 1207
SHORT, WHOLE = 200, 10_000
FILE = "/models/mini-gpt/base/config.json"
TARGETS = (
    FILE,
    "/models?list-type=2&prefix=mini-gpt%2Fbase%2F&delimiter=",
    "/models/mini-gpt/base/a%20b%2Fc.json?x-id=GetObject",
)
BLANKS = re.compile(r"[ \t]+")
LETTERS = b"aZ09-/%+ =&;:,?#\0\t\r\n\x7f\xc3\xa9\xff"
# How the check itself refuses, and the proxy before it. Whatever else comes, the signature was believed.
REFUSED = {
    "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError",
    "RequestTimeTooSkewed", "XAmzContentSHA256Mismatch", "InvalidURI",
}  # fmt: skip
SENTENCES = (
    "A query parameter appears twice.", "Sign in the Authorization header or in the query, not in both.",
    "This request is not signed.", "This signed URL has expired.", "There are headers that must be signed and are not",
    "Nothing is uploaded here, so no body is signed in chunks.", "Nothing is written here",
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """An answer; status 0: none, the connection was closed."""

    status: int
    text: str

    @property
    def is_refusal(self) -> bool:
        code, message = (self.text.partition(f"<{name}>")[2].partition("<")[0] for name in ("Code", "Message"))
        return self.status == 0 or code in REFUSED or message.startswith(SENTENCES) or (self.status == 400 and not code)


def on_the_wire(request: AWSRequest) -> bytes:
    target = "/" + request.url.partition("://")[2].partition("/")[2]
    headers = {**dict(request.headers.items()), "Accept": "*/*", "Connection": "close"}
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode()


def ask(door: ServedDoor, head: bytes) -> Told:
    """Send what may be no request any more; the empty lines end whatever it has become."""
    with socket.create_connection(("127.0.0.1", door.port), timeout=20) as connection:
        connection.sendall(head + b"\r\n\r\n\r\n\r\n")
        answer = http.client.HTTPResponse(connection, method=head.partition(b" ")[0].decode("latin-1"))
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            answer.begin()
            return Told(answer.status, answer.read(20_000).decode("utf-8", "replace"))
    return Told(0, "")


def damaged(head: bytes, chance: random.Random) -> bytes:
    """The same with one byte changed, inserted, removed or doubled, anywhere in it."""
    place, letter = chance.randrange(len(head)), bytes([chance.choice([*LETTERS, chance.randrange(256)])])
    kind = chance.randrange(6)
    if kind == 0:
        return head[:place] + letter + head[place:]
    if kind == 1:
        return head[:place] + head[place + 1 :]
    if kind == 2:
        return head[:place] + head[place : place + 1].swapcase() + head[place + 1 :]
    if kind == 3:
        return head[:place] + bytes([head[place] ^ 1 << chance.randrange(8)]) + head[place + 1 :]
    if kind == 4:
        return head[:place] + head[place : place + 1] + head[place:]
    return head[:place] + letter + head[place + 1 :]


def meaning(head: bytes) -> Any:
    """What a request says to S3, without what one may write differently; None for what is no request.

    The same say: more blanks than one, blanks around a header's value, capitals in its name, an octet in percent form
    or as it is, another order of the query's parameters, blanks between the parts of Authorization, another version of
    HTTP, other ends of lines; and headers that nobody signed.
    """
    try:
        # The proxy takes a bare line feed for an end of a line, and more carriage returns than one before it.
        lines = [line.rstrip("\r") for line in head.decode("latin-1").split("\n")]
        first, *lines = itertools.takewhile(bool, lines)
        method, target, _ = BLANKS.sub(" ", first.strip(" ")).split(" ")
        named = (line.partition(":") for line in lines)
        headers = {name.lower(): BLANKS.sub(" ", value).strip(" ") for name, _, value in named}
        path, _, query = target.partition("?")
        parted = (pair.partition("=") for pair in query.split("&"))
        pairs = [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in parted]
        given = headers.get("authorization", "").replace(", ", ",").replace(" ,", ",")
        signed = dict(pairs).get(b"X-Amz-SignedHeaders", b"").decode() or given.partition("SignedHeaders=")[2]
        names = {*signed.partition(",")[0].split(";"), "x-amz-content-sha256", "x-amz-security-token"}
        return method, unquote_to_bytes(path), sorted(pairs), {name: headers.get(name) for name in names}, given
    except ValueError:
        return None


def require_none_taken(world: World, store: EmbeddedStore, folder: Path, count: int) -> None:
    chance, refused, statuses = random.Random(SEED), 0, set[int]()  # noqa: S311  # to be repeated, not to be secret
    with s3_serving.serving(world, store, folder) as door, working(world):
        host = f"localhost:{door.port}"
        key = s3.key_of(world)
        heads = [
            on_the_wire(s3.signed(key, method, target, {"range": "bytes=0-9"}, in_query=in_query, host=host))
            for target in TARGETS for in_query in (False, True) for method in ("GET", "HEAD")
        ]  # fmt: skip
        assert [head for head in heads if ask(door, head).is_refusal] == []
        for _ in range(count):
            head = chance.choice(heads)
            other = damaged(head, chance)
            told = ask(door, other)
            statuses.add(told.status)
            if told.is_refusal or (other.startswith(b"HEAD ") and told.status in {400, 403, 405, 501}):
                refused += 1
            else:
                assert meaning(other) == meaning(head) is not None, (other, told)
    print(f"{count} damaged requests: {refused} refused, {count - refused} say the same; statuses {sorted(statuses)}")
    assert not statuses & {500, 502, 503, 504}
    assert refused > count * 0.7


def test_no_damaged_request_is_taken(sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """Two hundred of them."""
    require_none_taken(sqlite_world, embedded_store, tmp_path / "door", SHORT)


@pytest.mark.fault
def test_no_damaged_request_of_very_many_is_taken(
    sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path
) -> None:
    """10,000."""
    require_none_taken(sqlite_world, embedded_store, tmp_path / "door", WHOLE)
