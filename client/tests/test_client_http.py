"""HTTP: where the token goes, how much is read, how long is waited."""

import socket
import threading
import time

import pytest

from client.tests.far_side import TOKEN, FarSide, Reply
from client.tests.partner import Partner
from weightgate.http import Server, require_safe
from weightgate.verdicts import CannotTell, Malformed, WrongUse


def test_the_token_goes_with_the_proof_only(far: FarSide, partner: Partner) -> None:
    """What is public is asked for without saying who asks."""
    answer = far.issue()
    far.seal()
    assert partner.verify(answer).code == 0
    sent = dict(far.requests)
    assert sent == {"/api/v1/keys": None, far.proof_path(answer): f"Bearer {TOKEN}", "/log/checkpoint": None}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(far: FarSide, partner: Partner, status: int) -> None:
    """Whoever makes the server redirect gets neither the token nor a request."""
    other = FarSide()
    try:
        answer = far.issue()
        far.seal()
        where = {"Location": other.endpoint + far.proof_path(answer)}
        far.answers[far.proof_path(answer)] = Reply(status=status, headers=where)
        outcome = partner.verify(answer)
        assert (outcome.code, outcome.fields["code"]) == (3, "redirected")
        assert other.requests == []
    finally:
        other.close()


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "weights.example.org",
        "ftp://weights.example.org",
        "file:///etc/passwd",
        "https://",
        "https://user:pass@weights.example.org",
        "https://weights.example.org/?a=b",
        "https://weights.example.org/#a",
        "https://weights.example.org\n",
        "https://[::1",
        "https://weights.example.org:port",
        "http://weights.example.org",
        "http://localhost.example.org",
        "http://0.0.0.0",
    ],
)
def test_an_endpoint_that_would_leak_the_token_is_wrong_use(endpoint: str) -> None:
    """Only https, or plain http on loopback; no user, query or fragment; the refusal does not repeat the address."""
    with pytest.raises(WrongUse) as refused:
        Server(endpoint)
    assert not endpoint or endpoint not in refused.value.verdict.sentence


@pytest.mark.parametrize(
    "endpoint",
    ["https://weights.example.org/gate", "http://localhost:8080", "http://127.1.0.1:1", "http://[::1]:8080/"],
)
def test_https_and_loopback_are_endpoints(endpoint: str) -> None:
    """A path below the host is fine."""
    assert Server(endpoint).endpoint == endpoint


def test_a_path_of_the_endpoint_stays_in_front(far: FarSide, partner: Partner) -> None:
    """A server behind a prefix is asked below it."""
    far.answers["/gate/api/v1/keys"] = Reply(status=503)
    assert partner.verify(far.issue(), endpoint=far.endpoint + "/gate/").code == 3
    assert far.requests[0][0] == "/gate/api/v1/keys"


def test_an_answer_is_read_to_its_limit_and_no_further(far: FarSide) -> None:
    """One byte more than allowed is refused, with and without a length that says so; an error's body is not read."""
    far.answers |= {
        "/fits": Reply(b"x" * 1000),
        "/huge": Reply(b"x" * 1001),
        "/silent": Reply(b"x" * 1001, headers={"Content-Length": "", "Connection": "close"}),
        "/wrong": Reply(b"x" * 100_000, status=500),
    }
    server = Server(far.endpoint)
    assert server.get("/fits", 1000).body == b"x" * 1000
    for path in ("/huge", "/silent"):
        with pytest.raises(Malformed):
            server.get(path, 1000)
    assert server.get("/wrong", 1000).body == b""


def test_an_answer_that_ends_early_is_none(far: FarSide) -> None:
    """A connection that breaks within the body is not taken for a shorter answer."""
    far.answers["/cut"] = Reply(b"x" * 10, headers={"Content-Length": "20", "Connection": "close"})
    with pytest.raises(CannotTell):
        Server(far.endpoint, timeout_seconds=0.5).get("/cut", 1000)


@pytest.mark.parametrize("behaviour", ["silent", "drips", "babbles"])
def test_a_server_that_takes_its_time_is_left(behaviour: str) -> None:
    """Silence, a byte now and then, and what is not HTTP all end within the time, as no answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_misbehave, args=(listener, behaviour))
        thread.start()
        began = time.monotonic()
        with pytest.raises(CannotTell) as refused:
            Server(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_seconds=0.3).get("/", 10_000)
        assert time.monotonic() - began < 5
        assert refused.value.verdict.code == "unreachable"
        thread.join()


def _misbehave(listener: socket.socket, behaviour: str) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(5)
        connection.recv(65_536)
        if behaviour == "drips":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
        while True:
            try:
                if behaviour == "babbles":
                    connection.sendall(b"\x00\x01 hello\r\n" * 100)
                if behaviour == "drips":
                    connection.sendall(b"x")
                connection.settimeout(0.05)
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


@pytest.mark.parametrize(
    "url",
    [
        "http://store.example.org/a",
        "https://user@store.example.org/a",
        "ftp://store.example.org/a",
        "/a",
        "https://store.example.org:port/a",
        "https://store.example.org/a b",
        "https://store.example.org/a?b=\x00",
        "https://store.example.org/\N{LATIN SMALL LETTER U WITH DIAERESIS}",
    ],
)
def test_an_unsafe_address_of_a_file_is_not_used(url: str) -> None:
    """However often it is asked: what was found of one host is remembered, a refusal is not."""
    require_safe("https://store.example.org/a?X-Amz-Signature=0")
    for _ in range(2):
        with pytest.raises(CannotTell, match="not safe"):
            require_safe(url)


def test_plain_http_on_loopback_uses_no_proxy(far: FarSide, partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment would read the token in the clear."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    answer = far.issue()
    far.seal()
    assert partner.verify(answer).code == 0


def test_a_server_without_a_trusted_certificate_gets_no_token(far: FarSide, partner: Partner) -> None:
    """Who does not even speak TLS, or has no certificate for the host, is no answer."""
    outcome = partner.verify(far.issue(), endpoint=far.endpoint.replace("http:", "https:"))
    assert (outcome.code, outcome.fields["code"]) == (3, "unreachable")
    assert far.requests == []
