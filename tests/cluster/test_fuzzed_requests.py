"""F12: 10,000 damaged requests at every address of the server, through nginx and past it, with people's own secrets.

Most ask for what is there, and are then damaged: in the address, the query, headers and the body, and at last in any
byte. They come from so many addresses that nginx' limits, which are the deployed ones, hardly meet them.
"""

import contextlib
import http.client
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from server.domain.callers import Caller
from server.domain.identity import sessions
from server.domain.identity.people import Person
from tests.cluster import checks
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.raw_requests import Written, pieces, sources, to_machine, to_nginx
from tests.cluster.test_faults import until_issued
from tests.cluster.test_requests import talkative
from tests.faults.test_hub_requests import HUB, MAY, PUBLIC, RESOLVING, STAGES, Requests
from tests.faults.test_s3_requests import damaged
from tests.matrix import API, PAGES, ROWS

__all__ = ["talkative"]
SEED, COUNT = 1412, 10_000
THREADS, SOURCES = 12, 200
GOOD = 0.1  # the share of downloads among them whose address and headers are right
SIGNED_IN = ("cleared", "uncleared", "admin", "auditor")
PATIENCE_SECONDS = 5  # a server that says nothing before waits for the rest of something
WAITED_FOR = 20
READ_BYTES = 2 << 20
OLD = 9
FAILED = {500, 502, 503, 504}
URL = re.compile(r"/checkpoints/([\w.-]+/[\w.-]+)/[^\s\"<>]*?x-download-id=([0-9a-f-]{36})")
SAID = ("Traceback (most recent", 'File "/', "sqlalchemy", "psycopg")
Door = Callable[[Cluster, str], contextlib.AbstractContextManager[Any]]

pytestmark = pytest.mark.fault


@dataclass(frozen=True)
class Sent:
    """One request. opens: the stages that whoever sent it may have. hurt: whether the bytes themselves were damaged."""

    content: bytes
    opens: set[str]
    hurt: bool


@dataclass(frozen=True)
class Told:
    """What came back; status 0: nothing; OLD: what an answer of HTTP/0.9 could be."""

    status: int
    text: str
    seconds: float


class Fuzzed:
    """An endless row of requests as bytes, the same for the same seed and the same secrets."""

    def __init__(self, cluster: Cluster) -> None:
        self.chance = random.Random(SEED)  # noqa: S311  # to be repeated, not to be secret
        self.tokens: dict[str, str] = cluster.known["tokens"]
        with cluster.resources() as use:
            self._asked = iter(Requests(use, ROWS, API, PAGES, HUB, RESOLVING))
            with use.database.transaction() as session:
                self.secrets = {name: _session(session, cluster.known["people"][name], use) for name in SIGNED_IN}
        self.known_secrets = [token[17:60] for token in self.tokens.values()] + list(self.secrets.values())

    def __iter__(self) -> Iterator[Sent]:
        for token, asked in self._asked:
            if self.chance.random() < GOOD:
                token, asked = "cleared", {"method": "POST", "path": "/api/v1/downloads", "headers": {}, "data": b""}
            text = None if token is None else self.tokens[token]
            address, is_misplaced = self._elsewhere(asked["path"], text)
            body, kind = self._body(asked)
            lines = [f"{asked['method']} {address} HTTP/1.1", "Connection: close"]
            headers = {"Host": "localhost", "Content-Type": kind} | asked["headers"]
            opens = set(MAY[token]) | PUBLIC  # a browser's header is no token; without one, what is public
            if text is not None:
                headers["Authorization"] = f"Bearer {text}"
            if self.chance.random() < 0.3:
                name = self.chance.choice(SIGNED_IN)
                headers["Cookie"] = f"__Host-session={self.secrets[name]}"
                opens |= MAY[name]
            if body:
                headers |= {"Content-Length": str(len(body))}
            lines += [f"{name}: {value}" for name, value in headers.items()]
            head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
            hurt = self.chance.random() < 0.4 and not is_misplaced
            for _ in range(self.chance.choice([1, 1, 3]) if hurt else 0):
                head = damaged(head, self.chance)
            yield Sent(head + b"\r\n\r\n" + body, opens, hurt)

    def _elsewhere(self, path: str, token: str | None) -> tuple[str, bool]:
        """A person who mistakes the place puts the token into the address: whole, or nobody could know it for one."""
        if token is None or self.chance.random() > 0.05:
            return path, False
        return self.chance.choice([f"{path}/{token}", f"/{token}", f"{path}?token={token}", f"{path}&{token}"]), True

    def _body(self, asked: dict[str, Any]) -> tuple[bytes, str]:
        """And of what type it is."""
        order = orjson.dumps({"stage": self.chance.choice(STAGES)})
        content = self.chance.choice([order, order, asked["data"], damaged(order, self.chance)])
        if asked["method"] not in {"POST", "PUT", "PATCH"}:
            content = b""
        return content, "application/x-www-form-urlencoded" if content == asked["data"] else "application/json"


def _session(session: Any, person: dict[str, str], use: Any) -> str:
    row = session.scalars(select(Person).where(Person.email == person["email"])).one()
    caller = Caller(via="anonymous", address="127.0.0.1", user_agent="tests")
    return sessions.begin(session, caller, row.id, "totp", use.clock())


def ask(connection: Any, sent: Sent) -> Told:
    began = time.monotonic()
    method = sent.content.partition(b" ")[0].decode("latin-1")
    answer = http.client.HTTPResponse(connection, method=method)
    try:
        connection.settimeout(WAITED_FOR)
        connection.sendall(sent.content + b"\r\n\r\n\r\n\r\n")
        answer.begin()
        said = f"{answer.headers}\n" + answer.read(READ_BYTES).decode("utf-8", "replace")
        return Told(answer.status, said, time.monotonic() - began)
    except http.client.RemoteDisconnected:
        return Told(0, "", time.monotonic() - began)
    except http.client.BadStatusLine as line:  # nginx answers a line without a version as HTTP/0.9: by a body alone
        return Told(OLD, str(line), time.monotonic() - began)
    except (http.client.HTTPException, OSError):
        return Told(0, "", time.monotonic() - began)


@pytest.mark.parametrize("door", [to_nginx, to_machine], ids=["nginx", "gunicorn"])
def test_damaged_requests_break_nothing_and_give_nothing_away(talkative: Cluster, door: Door) -> None:
    """No 5xx of a failure, no trace, no secret in a log, no URL without an entry or to whom it does not belong."""
    ledger, written, fuzzed, addresses = Ledger(), Written(talkative), Fuzzed(talkative), sources(SOURCES)
    answers = Counter[int]()

    def send(sent: Sent, address: str) -> None:
        with contextlib.ExitStack() as stack:
            told = ask(stack.enter_context(door(talkative, address)), sent)
        answers[told.status] += 1
        for sentence in wrong(sent, told):
            ledger.fault(f"seed {SEED}: {sentence}: {sent.content!r}")
        for _, download in URL.findall(told.text):
            ledger.holds_id("fuzzed", download)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(send, itertools.islice(fuzzed, COUNT), addresses))
    until_issued(talkative)
    issued = len(ledger.downloads)
    with talkative.resources() as use:
        checks.require_entries(use, ledger, set())
    text = written.text()
    print(f"{COUNT} requests: {dict(sorted(answers.items()))}, {issued} issued, {len(text) >> 10} KB of messages")
    assert ledger.faults == []
    assert [piece for secret in fuzzed.known_secrets for piece in pieces(secret) if piece in text] == []
    assert re.findall(r"X-Amz-Signature=[0-9a-f]{8}", text) == []
    assert "Traceback" not in text
    assert {200, 201, 302, 400, 401, 403, 404, 405} <= answers.keys()
    assert answers[429] < COUNT / 20
    assert issued > COUNT / 100
    assert talkative.stopped() == []


def wrong(sent: Sent, told: Told) -> Iterator[str]:
    """What no answer may be."""
    if told.status in FAILED:
        yield f"status {told.status}, {told.text[-300:]}"
    if told.status == 0 and not (sent.hurt and told.seconds > PATIENCE_SECONDS):
        yield f"no answer after {told.seconds:.1f} s"
    for sentence in SAID:
        if sentence in told.text:
            yield f"{sentence} in an answer"
    if theirs := {stage for stage, _ in URL.findall(told.text)} - sent.opens:
        yield f"URLs of {theirs}"
