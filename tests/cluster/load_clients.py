"""The clients of a load: each kind asks for one thing, so many times a second, as people and programs do."""

import contextlib
import json
import random
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from server.log import heads, proofs, receipts, tiles, tree
from server.log.entries import commitment_of
from server.log.notes import VerifierKey
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Asking, Held, Ledger
from tests.cluster.publishing import NOTES, STAGE
from tests.cluster.visitor import Visitor

FILE = "config.json"
END_SECONDS = 90
SEALED_AFTER_SECONDS = 30  # then a proof is asked for; the worker that would have sealed may have been killed
PARTNER_PAGES = (
    "/", "/stages/mini-gpt/base", "/stages/gpt-2/774M", "/downloads", "/tokens", "/agreements", "/findings",
    "/releases", "/people", "/audit/log", "/account",
)  # fmt: skip
STAFF_PAGES = {
    "admin": ("/", "/admin/queue", "/admin/clearances", "/admin/organizations", "/admin/people", "/admin/stages",
              "/admin/stages/mini-gpt/base", "/admin/tiers", "/admin/decisions", "/admin/findings", "/audit/log"),
    "auditor": ("/audit/log", "/audit/charts", "/audit/alarms", "/audit/exposure", "/audit/heads", "/downloads",
                "/audit/verifications", "/audit/reconciliation"),
}  # fmt: skip


@dataclass(frozen=True)
class Client:
    """One thread of the load."""

    name: str
    per_second: float
    step: Callable[[random.Random], object]

    def run(self, stopping: threading.Event, seed: str) -> None:
        """Step at this rate, a little irregularly, until told to stop; what was missed is not made up for."""
        chance = random.Random(seed)  # noqa: S311  # no secret
        while not stopping.wait(chance.uniform(0.5, 1.5) / self.per_second):
            self.step(chance)


def clients(cluster: Cluster, ledger: Ledger) -> list[Client]:
    """All but those that are stopped now and then; people are signed in when this returns."""
    reader, issuer = LogReader(cluster, ledger), Issuer(cluster, ledger)
    hub, s3 = Hub(cluster, ledger), S3Tool(cluster, ledger)
    pages = [
        Client(f"portal, {name}", rate, Person(cluster, ledger, name, addresses).look)
        for name, rate, addresses in (
            ("cleared", 1.0, PARTNER_PAGES), ("admin", 0.5, STAFF_PAGES["admin"]),
            ("auditor", 0.3, STAFF_PAGES["auditor"]),
        )
    ]  # fmt: skip
    return [
        Client("issue, 1 file", 3, Issuer(cluster, ledger).one), Client("issue, 1 file, too", 3, issuer.one),
        Client("issue, 100 files", 0.7, Issuer(cluster, ledger).hundred),
        Client("renew", 0.3, Issuer(cluster, ledger).renew), *pages, Client("hub", 2, hub.step),
        Client("S3 door", 2, s3.step), Client("log, public", 0.7, reader.public),
        Client("log, proofs", 0.7, LogReader(cluster, ledger).prove_one),
        Client("log, entries", 0.2, LogReader(cluster, ledger).entries),
    ]  # fmt: skip


def start(ledger: Ledger, client: Client, stopping: threading.Event) -> threading.Thread:
    """Let a client ask in a thread of its own until told to stop; that it fails is a fault."""

    def work() -> None:
        try:
            client.run(stopping, client.name)
        except Exception as error:
            ledger.fault(f"{client.name}: the client failed: {type(error).__name__}: {error}")
            raise

    thread = threading.Thread(target=work, name=client.name)
    thread.start()
    return thread


@contextlib.contextmanager
def crowd(cluster: Cluster, ledger: Ledger, count: int, per_second: float) -> Iterator[None]:
    """So many clients that issue, each at this rate, as long as the block runs."""
    stopping = threading.Event()
    members = [Client(f"issue {n}", per_second, Issuer(cluster, ledger).one) for n in range(count)]
    threads = [start(ledger, member, stopping) for member in members]
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(END_SECONDS)


def asking(cluster: Cluster, ledger: Ledger, token: str | None) -> Asking:
    """token: its name in the worked example, or itself."""
    known: dict[str, str] = cluster.known["tokens"]
    text = None if token is None else known.get(token, token)
    return Asking(ledger, cluster.front.url, str(cluster.front.authorities), text)


class Issuer:
    """The API of downloads."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._ask, self._ledger = asking(cluster, ledger, "cleared"), ledger

    def one(self, _: random.Random) -> dict[str, Any] | None:
        return self._issue("issue, 1 file", "", {"stage": STAGE, "paths": [FILE]}, 1)

    def hundred(self, _: random.Random) -> None:
        self._issue("issue, 100 files", "", {"stage": STAGE, "paths": list(NOTES)}, len(NOTES))

    def renew(self, chance: random.Random) -> None:
        if (issued := self.one(chance)) is not None:
            self._issue("renew", f"/{issued['id']}/urls", {"paths": [FILE]}, 1)

    def _issue(self, kind: str, path: str, order: dict[str, Any], files: int) -> dict[str, Any] | None:
        answer = self._ask.ask(kind, "POST", f"/api/v1/downloads{path}", (201,), json=order)
        if answer is None:
            return None
        issued: dict[str, Any] = answer.json()
        self._ledger.holds(kind, issued, str(self._ask.token))
        if len(issued["files"]) != files:
            self._ledger.fault(f"{kind}: {len(issued['files'])} files in place of {files}")
        return issued


class Person:
    """Somebody who is signed in and reads pages; who is sent to sign in again has lost a session."""

    def __init__(self, cluster: Cluster, ledger: Ledger, name: str, pages: tuple[str, ...]) -> None:
        person, visitor = cluster.known["people"][name], Visitor(cluster)
        visitor.sign_in(person["email"], person["password"], person["totp_secret"])
        self._ask, self._pages = asking(cluster, ledger, None), pages
        self._ask.session = visitor.session
        self._kind = f"portal, {name}"

    def look(self, chance: random.Random) -> None:
        self._ask.ask(self._kind, "GET", chance.choice(self._pages))


class Hub:
    """The Hugging Face client's requests for one file."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._ask, self._ledger = asking(cluster, ledger, "cleared"), ledger

    def step(self, chance: random.Random) -> None:
        path = f"/{STAGE}/resolve/main/{chance.choice((FILE, 'tokenizer.json', 'model-00001-of-00002.safetensors'))}"
        how = chance.choices(("HEAD", "GET", "tree"), (3, 3, 1))[0]
        if how == "HEAD":
            self._ask.ask("hub, HEAD", "HEAD", path, (200, 302, 307))
        elif how == "tree":
            self._ask.ask("hub, tree", "GET", f"/api/models/{STAGE}/tree/main")
        elif (answer := self._ask.ask("hub, GET", "GET", path, (302, 307))) is not None:
            self._ledger.holds_url("hub, GET", answer.headers["Location"])


class S3Tool:
    """A tool that reads parts of files by the S3 door, with keys that it renews now and then."""

    KEY_LASTS = 200  # requests

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._keys, self._ledger = asking(cluster, ledger, "cleared"), ledger
        self._door = Asking(ledger, cluster.front.s3_url, str(cluster.front.authorities))
        self._host = f"localhost:{cluster.front.s3_https}"
        self._source = Path(cluster.known["sources"][STAGE])
        self._key, self._used = dict[str, str](), 0

    def step(self, chance: random.Random) -> None:
        if not self._key or self._used >= self.KEY_LASTS:
            answer = self._keys.ask("S3 keys", "GET", f"/api/v1/credentials/{STAGE}")
            if answer is None:
                return
            self._key, self._used = answer.json(), 0
        self._used += 1
        if chance.random() < 0.15:
            self._get("S3 list", f"/models?list-type=2&prefix={quote(STAGE, safe='')}%2F", (200,), {})
            return
        name, first = chance.choice((FILE, "model-00001-of-00002.safetensors")), chance.randrange(400)
        part = {"range": f"bytes={first}-{first + 999}"}
        answer = self._get("S3 GET", f"/models/{STAGE}/{name}", (206,), part)
        if answer is not None:
            self._ledger.holds_bytes(self._key["AccessKeyId"], name)
            if answer.content != (self._source / name).read_bytes()[first : first + 1000]:
                self._ledger.fault(f"S3 GET: other bytes of {name}")

    def _get(
        self, kind: str, target: str, wanted: tuple[int, ...], headers: dict[str, str]
    ) -> requests.Response | None:
        signed = AWSRequest("GET", f"https://{self._host}{target}", headers=headers | {"host": self._host})
        signed.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        key = Credentials(self._key["AccessKeyId"], self._key["SecretAccessKey"], self._key["Token"])
        signer: Any = S3SigV4Auth(key, "s3", "us-east-1")
        signer.payload = lambda _: "UNSIGNED-PAYLOAD"
        signer.add_auth(signed)
        return self._door.ask(kind, "GET", target, wanted, headers={n: str(v) for n, v in signed.headers.items()})


class LogReader:
    """Whoever follows the log: heads that only grow, one root for each size, tiles, and proofs of receipts."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._public, self._ledger = asking(cluster, ledger, None), ledger
        self._partner, self._auditor = asking(cluster, ledger, "cleared"), asking(cluster, ledger, "auditor")
        keys = self._public.ask("log keys", "GET", "/api/v1/keys")
        assert keys is not None
        known = keys.json()
        self._head_key = VerifierKey.parse(known["log_vkey"])
        self._receipt_key = VerifierKey.parse(known["receipt_vkey"])
        self.size, self.roots = 0, dict[int, bytes]()

    def public(self, chance: random.Random) -> None:
        if self.size == 0 or chance.random() < 0.5:
            self.follow()
            return
        index = chance.randrange((self.size - 1) // tiles.WIDTH + 1)
        level = chance.choice((0, tiles.ENTRIES))
        width = tiles.width(0, index, self.size)
        path = tiles.Tile(level, index, width).path
        answer = self._public.ask("log tile", "GET", f"/log/{path}")
        if answer is not None and level == 0 and len(answer.content) != width * tree.HASH_BYTES:
            self._ledger.fault(f"log tile: {path} has {len(answer.content)} bytes")

    def prove_one(self, chance: random.Random) -> None:
        """Ask for the proof of some download that is old enough to be sealed."""
        old = [one for one in self._ledger.receipts[-2000:] if time.monotonic() - one.at > SEALED_AFTER_SECONDS]
        if old:
            self.prove(chance.choice(old))

    def prove(self, held: Held) -> bool:
        """Whether the answer of the server proves the receipt; what it does not prove is a fault."""
        self._partner.token = held.token
        answer = self._partner.ask("log proof", "GET", f"/api/v1/downloads/{held.download}/proof")
        if answer is None:
            return False
        try:
            receipt = receipts.verify(held.receipt.encode(), self._receipt_key)
            leaf = tree.leaf_hash(commitment_of(b64decode(held.salt), held.record.encode()))
            proofs.verify(answer.content, receipt.leaf, self._head_key)
        except (ValueError, tree.NotProven) as error:
            self._ledger.fault(f"log proof: download {held.download} is not proven: {error}")
            return False
        if leaf != receipt.leaf or json.loads(held.record)["download"] != held.download:
            self._ledger.fault(f"log proof: the receipt of download {held.download} is another entry's")
            return False
        return True

    def entries(self, _: random.Random) -> None:
        self._auditor.ask("log entries", "GET", "/api/v1/log/entries?limit=50")

    def follow(self) -> None:
        """Read the newest head: it never shrinks, and each size has one root."""
        answer = self._public.ask("log head", "GET", "/log/checkpoint")
        if answer is None:
            return
        head = heads.verify(answer.content, self._head_key)
        if head.size < self.size:
            self._ledger.fault(f"log head: it has shrunk from {self.size} to {head.size}")
        if self.roots.setdefault(head.size, head.root) != head.root:
            self._ledger.fault(f"log head: two roots of size {head.size}")
        self.size = head.size
