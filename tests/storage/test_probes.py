"""Probes: what an outsider is answered."""

import socket

import pytest

from server.storage import probes
from server.storage.embedded import EmbeddedStore, free_port
from server.storage.probes import ProbeFailed


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
