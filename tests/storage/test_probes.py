"""Probes: what an outsider is answered."""

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from server.storage import keys, probes
from server.storage.embedded import EmbeddedStore, free_port
from server.storage.objects import ObjectStoreRefused, ObjectStoreUnavailable, S3Objects
from server.storage.probes import ProbeFailed
from tests.deploy.test_front import certificate


def test_a_probe_carries_no_credentials(embedded_store: EmbeddedStore) -> None:
    """The embedded store refuses it like everybody else without a signature."""
    assert probes.status_of(f"{embedded_store.endpoint_url}/weights") == 403


def test_a_port_where_nobody_listens_is_a_failed_probe() -> None:
    """No answer is told apart from an answer, and the text names the host and nothing of the query."""
    with pytest.raises(ProbeFailed, match=r"^no answer from 127\.0\.0\.1 \(ConnectionRefusedError\)$"):
        probes.status_of(f"http://127.0.0.1:{free_port()}/?X-Amz-Signature=secret")


def test_something_that_speaks_no_http_is_a_failed_probe() -> None:
    """A listener that hangs up at once is no answer either."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(probes, "TIMEOUT_SECONDS", 0.1)
            with pytest.raises(ProbeFailed, match="TimeoutError"):
                probes.status_of(address)


class Refusing(BaseHTTPRequestHandler):
    """A store that knows nobody."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def private_ca(tmp_path: Path) -> Iterator[str]:
    """The address of a store whose certificate no public CA signed."""
    certificate(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_private_ca_is_trusted_where_the_environment_names_it(
    private_ca: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without AWS_CA_BUNDLE the line names it; with it, boto3 and the probes get through to the store's refusal."""

    def list_bucket() -> None:
        with S3Objects(
            endpoint_url=private_ca, region="us-east-1", bucket="weights", addressing="path",
            credentials=keys.new_s3_credentials(), attempts=1,
        ) as store:  # fmt: skip
            store.list_keys("")

    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(ObjectStoreUnavailable, match="AWS_CA_BUNDLE"):
        list_bucket()
    with pytest.raises(ProbeFailed, match="SSLCertVerificationError"):
        probes.status_of(private_ca)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    with pytest.raises(ObjectStoreRefused):
        list_bucket()
    assert probes.status_of(private_ca) == 403
