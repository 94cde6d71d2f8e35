"""A real SMTP server for tests. It keeps what it was given, and answers as a test says."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from server.storage.embedded import free_port

PASSWORD = "the password of the mail server"  # of one that lives as long as a test
FINE = "250 OK"


@dataclass
class Delivered:
    """One message as the server got it."""

    message: EmailMessage
    sender: str
    recipients: list[str]
    encrypted: bool
    user: str | None


@dataclass
class MailHost:
    """What the server got, and what it answers to a recipient and to a message."""

    port: int
    delivered: list[Delivered] = field(default_factory=list)
    to_recipient: Callable[[str], str] = lambda _: FINE
    to_message: Callable[[Delivered], str] = lambda _: FINE
    passwords: list[str] = field(default_factory=list)

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.to_recipient(address)
        if answer == FINE:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        message: Any = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        encrypted = server.transport is not None and server.transport.get_extra_info("ssl_object") is not None
        user = session.auth_data.login.decode() if session.auth_data else None
        got = Delivered(message, str(envelope.mail_from), list(envelope.rcpt_tos), encrypted, user)
        if (answer := self.to_message(got)) == FINE:
            self.delivered.append(got)
        return answer

    def authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.passwords.append(given.password.decode())
        right = given.password.decode() == PASSWORD
        # Some servers quote what they were sent; ours must not end in a message.
        return AuthResult(success=right, handled=right, message=None if right else f"535 no: {given.password.decode()}",
                          auth_data=given)  # fmt: skip


@contextmanager
def mail_host(certificate: Path | None = None, *, tls: str = "none", user: bool = False) -> Iterator[MailHost]:
    """Run one on a free port. tls: `none`, `starttls`, or `tls` from the first byte."""
    host = MailHost(free_port())
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    more: dict[str, Any] = {"tls_context": context} if tls == "starttls" else {}
    controller = Controller(
        host, "127.0.0.1", host.port, ssl_context=context if tls == "tls" else None,
        authenticator=host.authenticate if user else None, auth_require_tls=tls == "starttls",
        data_size_limit=1_000_000, **more,
    )  # fmt: skip
    controller.start()
    try:
        yield host
    finally:
        controller.stop()
