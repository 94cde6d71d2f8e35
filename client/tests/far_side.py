"""The far side, simulated once and honestly: a server on loopback that issues receipts, seals, and shows its log.

It tells the truth unless a test puts a lie into it: into `answers` for one path, or by another signer or tree.
"""

import json
import re
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from client.tests.slow_log import Signer, SlowTree, b64, sha256

ORIGIN = "weights.example.org/downloads/2026"
START = 1_767_225_600.0  # seconds; when every test begins
MMD_SECONDS = 60
TOKEN = "wgk_partner_token"
_TILE = re.compile(r"tile/([0-9]+)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]+))?")


@dataclass
class Reply:
    """What the server answers to one request."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class FarSide:
    """One server with one log. now: seconds; only tests move it."""

    def __init__(self, origin: str = ORIGIN, seed: bytes = b"") -> None:
        self.origin = origin
        self.log_signer = Signer(origin, b"log" + seed)
        self.receipt_signer = Signer(origin.replace("/downloads/", "/receipts/"), b"receipts" + seed)
        self.tree = SlowTree()
        self.sealed = 0
        self.prefix = "/log"
        self.now = START
        self.index_of: dict[str, int] = {}
        self.salt_of: dict[str, bytes] = {}
        self.answers: dict[str, Reply] = {}
        self.requests: list[tuple[str, str | None]] = []  # path, Authorization
        self.sent: list[bytes] = []
        self._listener = _Listener(self)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._listener.server_port}"

    def close(self) -> None:
        self._listener.stop()

    def issue(self) -> dict[str, Any]:
        """The answer of `POST /api/v1/downloads`; its entry is the log's next, and not sealed yet."""
        files = [{"path": f"{i}.json", "size_bytes": 1000 + i, "sha256": sha256(b"%d" % i).hex()} for i in (1, 2)]
        download_id = str(uuid.UUID(int=(0x7 << 76) | (0x8 << 60) | len(self.tree.entries)))
        record = {"version": 1, "kind": "download", "time": int(self.now * 1000)}
        record |= {"download": download_id, "files": files}
        return self.answer_for(download_id, _canonical(record), files)

    def answer_for(self, download_id: str, record: str, files: list[dict[str, Any]]) -> dict[str, Any]:
        salt = sha256(b"salt" + download_id.encode())
        commitment = sha256(b"weightgate-commit/v1\n" + salt + record.encode())
        self.index_of[download_id], self.salt_of[download_id] = len(self.tree.entries), salt
        self.tree.entries.append(commitment)
        return {
            "id": download_id,
            "expires_at": "2026-01-01T00:05:00Z",
            "record": record,
            "salt": b64(salt),
            "receipt": self.receipt(sha256(b"\x00" + commitment)),
            "files": [file | {"url": f"https://store.example/{file['path']}?signature=secret"} for file in files],
        }

    def receipt(self, leaf: bytes, signer: Signer | None = None) -> str:
        text = (
            f"weightgate-receipt/v1\nlog {self.origin}\nleaf {b64(leaf)}\n"
            f"time {int(self.now * 1000)}\nmmd {MMD_SECONDS}\n"
        )
        return (signer or self.receipt_signer).note(text)

    def grow(self, size: int) -> None:
        """Other partners' entries, until the log has `size`."""
        while len(self.tree.entries) < size:
            self.tree.entries.append(sha256(b"other %d" % len(self.tree.entries)))

    def seal(self) -> None:
        self.sealed = len(self.tree.entries)

    def head(self, size: int | None = None) -> str:
        size = self.sealed if size is None else size
        return self.log_signer.note(f"{self.origin}\n{size}\n{b64(self.tree.root(size))}\n")

    def proof(self, download_id: str, size: int | None = None) -> str:
        size = self.sealed if size is None else size
        index = self.index_of[download_id]
        lines = ["c2sp.org/tlog-proof@v1", f"extra {b64(self.salt_of[download_id])}", f"index {index}"]
        lines += [b64(node) for node in self.tree.path(index, 0, size)]
        return "\n".join(lines) + "\n\n" + self.head(size)

    def proof_path(self, answer: dict[str, Any]) -> str:
        return f"/api/v1/downloads/{answer['id']}/proof"

    def take(self, path: str, authorization: str | None, body: bytes) -> Reply:
        """What was sent is kept; it is answered as a test says."""
        self.requests.append((path, authorization))
        self.sent.append(body)
        return self.answers.get(path, Reply(status=404))

    def reply(self, path: str, authorization: str | None) -> Reply:
        self.requests.append((path, authorization))
        if path in self.answers:
            return self.answers[path]
        if path == "/api/v1/keys":
            keys = {"log_vkey": self.log_signer.vkey, "receipt_vkey": self.receipt_signer.vkey}
            return Reply(json.dumps(keys | {"manifest_public_key": "-----BEGIN PUBLIC KEY-----"}).encode())
        if path == f"{self.prefix}/checkpoint":
            return Reply(self.head().encode())
        if match := _TILE.fullmatch(path.removeprefix(f"{self.prefix}/")):
            return self._tile(int(match[1]), int(match[2].replace("x", "").replace("/", "")), match[3])
        if match := re.fullmatch(r"/api/v1/downloads/([0-9a-f-]{36})/proof", path):
            return self._proof(match[1], authorization)
        return Reply(status=404)

    def _proof(self, download_id: str, authorization: str | None) -> Reply:
        if authorization != f"Bearer {TOKEN}":
            return Reply(status=401)
        if download_id not in self.index_of:
            return Reply(status=404)
        if self.index_of[download_id] >= self.sealed:
            return Reply(status=404, headers={"Retry-After": "1"})
        return Reply(self.proof(download_id).encode())

    def _tile(self, level: int, number: int, width: str | None) -> Reply:
        data = self.tree.tile(level, number, self.sealed)
        wanted = 256 if width is None else int(width)
        return Reply(data[: 32 * wanted]) if 0 < wanted <= len(data) // 32 else Reply(status=404)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, far: FarSide) -> None:
        super().__init__(("127.0.0.1", 0), _handler(far))
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


def _handler(far: FarSide) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(far.reply(self.path, self.headers.get("Authorization")))

        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(far.take(self.path, self.headers.get("Authorization"), body))

        def _answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            headers = {"Content-Length": str(len(reply.body))} | reply.headers
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read `requests` instead."""

    return Handler


def _canonical(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
