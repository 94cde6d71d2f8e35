"""TLS and proxies: a private authority where it is named, a tunnel through a proxy where one is set, nothing else."""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from weightgate import findings, http
from weightgate.http import Server, connect
from weightgate.verdicts import CannotTell, WrongUse


def write_certificate(folder: Path) -> Path:
    """A certificate that signed itself, for this machine, with its key in the same file."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lab")]),
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "lab.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


class Answering(BaseHTTPRequestHandler):
    """Says one thing to everybody."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        """As a server that takes a finding's attachment and has the same store."""
        self.rfile.read(int(self.headers["Content-Length"]))
        slot = {"id": 3, "url": f"https://{self.headers['Host']}/key", "headers": {}}
        body = json.dumps(slot).encode()
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def certificate(tmp_path: Path) -> Iterator[Path]:
    """And nothing that an earlier test trusted."""
    http._tls.cache_clear()
    yield write_certificate(tmp_path)
    http._tls.cache_clear()


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    """A server that speaks TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listener:
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        yield listener.server_port
        listener.shutdown()
        thread.join()


def body_from(url: str, ca: str | None) -> bytes:
    """As a range of the store is fetched."""
    connection = connect(url, ca, 5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_private_authority_is_trusted_where_it_is_named(
    port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By --ca, or by SSL_CERT_FILE; for the server and for the store."""
    endpoint = f"https://localhost:{port}"
    assert Server(endpoint, ca=str(certificate)).get("/", 100).body == b"hello"
    assert body_from(endpoint, str(certificate)) == b"hello"
    with pytest.raises(CannotTell, match="certificate is not trusted"):
        Server(endpoint).get("/", 100)
    with pytest.raises(ssl.SSLCertVerificationError):
        body_from(endpoint, None)
    http._tls.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert Server(endpoint).get("/", 100).body == body_from(endpoint, None) == b"hello"


def test_an_attachment_reaches_a_store_behind_a_private_authority(port: int, certificate: Path, tmp_path: Path) -> None:
    """The file goes where the server says, under the certificates that it itself is trusted by."""
    file = tmp_path / "counts.csv"
    file.write_bytes(b"a,b\n")
    server = Server(f"https://localhost:{port}", token="token", ca=str(certificate))
    assert findings.attach(server, 7, file) is None


def test_what_is_no_certificate_is_wrong_use(tmp_path: Path) -> None:
    """Whether it is not there or something else."""
    (tmp_path / "text").write_text("text")
    for path in ("text", "nothing"):
        with pytest.raises(WrongUse, match="no certificates"):
            Server("https://localhost", ca=str(tmp_path / path)).get("/", 100)


def test_the_environment_s_proxy_is_a_tunnel(port: int, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked to connect, with its own user and password, and reads nothing; no_proxy goes around it."""
    heard = list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        thread = threading.Thread(target=tunnel, args=(proxy, port, heard))
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert body_from(f"https://localhost:{port}", str(certificate)) == b"hello"
        thread.join()
    assert heard[0].startswith(f"CONNECT localhost:{port} ".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in heard[0]
    assert not any(b"hello" in data for data in heard)
    monkeypatch.setenv("no_proxy", "localhost")
    assert body_from(f"https://localhost:{port}", str(certificate)) == b"hello"


def tunnel(proxy: socket.socket, port: int, heard: list[bytes]) -> None:
    """Take one client, and pass on what both sides say until one of them ends."""
    client, _ = proxy.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        heard.append(client.recv(65_536))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=pump, args=(server, client, heard))
        back.start()
        pump(client, server, heard)
        back.join()


def pump(source: socket.socket, target: socket.socket, heard: list[bytes]) -> None:
    while True:
        try:
            data = source.recv(65_536)
            heard.append(data)
            if not data:
                target.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)
        except OSError:
            return
