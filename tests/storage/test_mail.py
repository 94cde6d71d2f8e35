"""Mail: messages over SMTP: by TLS or not at all, each a single message to a single reader, whatever was typed."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.storage import mail
from server.storage.embedded import free_port
from server.storage.mail import MailRefused, MailServer, MailServerUnavailable, MailUnsendable, Message
from tests.certificates import write_self_signed
from tests.mail_host import FINE, PASSWORD, MailHost, mail_host

SENDER = "weights@lab.example.org"
AT = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)
MESSAGE = Message("dora@dover.example", "Zugang für Dänen: 774M", "Grüße.\n\nhttps://weights.example.org/\n", AT, 7)
HEADERS = {
    "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
    "Content-Transfer-Encoding", "X-Peer", "X-MailFrom", "X-RcptTo",
}  # fmt: skip  # the last three are the test server's


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_self_signed(tmp_path_factory.mktemp("certificate") / "localhost.pem", "localhost")


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


@pytest.fixture
def host() -> Iterator[MailHost]:
    with mail_host() as made:
        yield made


def plain(host: MailHost) -> MailServer:
    return MailServer(f"smtp://localhost:{host.port}", SENDER, None)


@pytest.mark.parametrize(("tls", "scheme"), [("tls", "smtps"), ("starttls", "smtp+starttls")])
def test_a_message_arrives_whole(certificate: Path, trust: ssl.SSLContext, tls: str, scheme: str) -> None:
    """Over TLS, from the user that the address names, with the headers that say what it is, and no others."""
    with (
        mail_host(certificate, tls=tls, user=True) as host,
        MailServer(f"{scheme}://gate%40lab@localhost:{host.port}", SENDER, PASSWORD, trust=trust) as server,
    ):
        server.send(MESSAGE)
        server.send(MESSAGE)
    first, second = host.delivered
    message = first.message
    assert (first.encrypted, first.user, first.sender, first.recipients) == (
        True, "gate@lab", SENDER, ["dora@dover.example"],
    )  # fmt: skip
    assert set(message) <= HEADERS
    assert len(message) == len(set(message))
    assert (message["From"], message["To"]) == ("Weightgate <weights@lab.example.org>", "dora@dover.example")
    assert (message["Subject"], message["Auto-Submitted"]) == (MESSAGE.subject, "auto-generated")
    assert message["Date"].datetime == AT
    assert message.get_content_type() == "text/plain"
    assert message.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert message["Message-ID"] == second.message["Message-ID"]  # sent twice, it is the same message


def test_without_tls_nothing_is_sent(host: MailHost) -> None:
    """A server that does not offer STARTTLS, or someone on the way who hides it, gets no message."""
    with MailServer(f"smtp+starttls://gate@localhost:{host.port}", SENDER, PASSWORD) as server:
        with pytest.raises(MailServerUnavailable, match="STARTTLS"):
            server.send(MESSAGE)
        with pytest.raises(MailServerUnavailable, match="STARTTLS"):
            server.check()
    assert (host.delivered, host.passwords) == ([], [])


@pytest.mark.parametrize(("tls", "scheme"), [("tls", "smtps"), ("starttls", "smtp+starttls")])
def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path, tls: str, scheme: str) -> None:
    """Encryption to whoever happens to answer is none."""
    with (
        mail_host(certificate, tls=tls, user=True) as host,
        MailServer(f"{scheme}://gate@localhost:{host.port}", SENDER, PASSWORD) as server,
        pytest.raises(MailServerUnavailable, match="certificate is not trusted"),
    ):
        server.send(MESSAGE)
    assert (host.delivered, host.passwords) == ([], [])


def test_a_wrong_password_is_told_and_not_shown(certificate: Path, trust: ssl.SSLContext) -> None:
    """Not even where the server's answer quotes it."""
    with (
        mail_host(certificate, tls="starttls", user=True) as host,
        MailServer(f"smtp+starttls://gate@localhost:{host.port}", SENDER, "hush hush", trust=trust) as server,
        pytest.raises(MailServerUnavailable, match=r"rejected the sign-in of gate.*smtp_password_file") as told,
    ):
        server.check()
    assert host.passwords
    assert "hush" not in str(told.value)


def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens, the name is none, or somebody listens and never says a word."""
    monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address in (f"127.0.0.1:{free_port()}", f"127.0.0.1:{silent.getsockname()[1]}", f"{'x' * 70}.localhost:25"):
            with MailServer(f"smtp://{address}", SENDER, None) as server, pytest.raises(MailServerUnavailable) as told:
                server.send(MESSAGE)
            assert address in str(told.value)


@pytest.mark.parametrize("answer", ["450 later", "550 nobody here", "421 closing", "452 full"])
def test_what_the_server_refuses_is_one_messages_matter(host: MailHost, answer: str) -> None:
    """Its recipient or its text; the next message goes out all the same."""
    host.to_recipient = lambda address: answer if address.startswith("nobody") else FINE
    host.to_message = lambda got: answer if "spam" in got.message["Subject"] else FINE
    with plain(host) as server:
        for refused in (
            Message("nobody@dover.example", "Hello", "Hello.", AT, 1),
            Message("dora@dover.example", "spam", "x", AT, 2),
        ):  # fmt: skip
            with pytest.raises(MailRefused, match=f"localhost:{host.port} answered {answer}"):
                server.send(refused)
        server.send(MESSAGE)
    assert [got.message["Subject"] for got in host.delivered] == [MESSAGE.subject]


def test_the_check_sends_nothing(host: MailHost) -> None:
    """It says that the server lets us in."""
    with plain(host) as server:
        server.check()
    assert host.delivered == []


HOSTILE = [
    "x\r\nBcc: eve@evil.example", "x\nX-Evil: 1\n\nbody", "x\x00\x0b\x1b[2J", "x\u2028Bcc: eve@evil.example", "\ud800",
    "=?utf-8?q?x=0D=0ABcc:_eve@evil.example?=", "=?utf-8?b?eA0KQmNjOiBl?= =?utf-8?b?dmVAZXZpbC5leGFtcGxl?=",
    "=?=?utf-8?q?x=0D=0ABcc:_eve@evil.example?=?=", "y" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_was_typed_becomes_a_header(host: MailHost, text: str) -> None:
    """Names and purposes that partners chose stand in subjects and texts."""
    with plain(host) as server:
        server.send(Message("dora@dover.example", text, f"{text}\r\n.\r\nMAIL FROM:<eve@evil.example>\r\n", AT, 1))
    (got,) = host.delivered
    assert got.recipients == ["dora@dover.example"]
    assert set(got.message) <= HEADERS
    assert len(got.message) == len(set(got.message))
    assert all(character.isprintable() for character in got.message["Subject"])
    assert "MAIL FROM:<eve@evil.example>" in got.message.get_content()


@pytest.mark.parametrize(
    "recipient",
    [
        "dora@dover.example\r\nBcc: eve@evil.example", "dora@dover.example\n", "dora@dover.example, eve@evil.example",
        "dora@dover.example> RCPT TO:<eve@evil.example", "<dora@dover.example>", "Dora <dora@dover.example>", "dora",
        "@dover.example", "dora@", "", "dora@dover example", "dora@dover.example (x)", "döra@dover.example",
        "dora..x@dover.example", "a" * 250 + "@x.yy", "=?utf-8?q?x=0D=0AX:_1?=@dover.example", '"dora"@dover.example',
    ],
)  # fmt: skip
def test_what_is_no_address_is_sent_nowhere(host: MailHost, recipient: str) -> None:
    """A second recipient would read a link that opens an account."""
    with plain(host) as server, pytest.raises(MailUnsendable):
        server.send(Message(recipient, "Hello", "Hello.", AT, 1))
    assert host.delivered == []
