"""Mail: how a message leaves this machine: by SMTP, over TLS unless on loopback, each step within a time limit."""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from server import dates
from server.mail_servers import SMTP_PORTS
from server.settings import MAIL_ADDRESS
from server.text import printable

TIMEOUT_SECONDS = 10  # for each step; a server that needs longer is asked again later
DISPLAY_NAME = "Weightgate"


class MailServerUnavailable(Exception):
    """The mail server does not respond, or rejects our sign-in. The message waits; the text names the cause."""


class MailRefused(Exception):
    """The mail server did not accept this message. The text is the server's answer."""


class MailUnsendable(Exception):
    """No server could accept this message: its recipient is not an address."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to one recipient."""

    recipient: str
    subject: str
    text: str
    at: datetime
    number: int  # in the Message-ID: a message that is sent twice is recognized as the same one


class MailServer:
    """One connection, opened when first needed. Not safe for threads. Use it as a context manager."""

    def __init__(self, url: str, sender: str, password: str | None, *, trust: ssl.SSLContext | None = None) -> None:
        """url: as in settings. trust: which certificates to believe; the system's when left out."""
        parts = urlsplit(url)
        self._scheme = parts.scheme
        self._host, self._port = str(parts.hostname), parts.port or SMTP_PORTS[parts.scheme]
        self._user = None if parts.username is None else unquote(parts.username)
        self._password = password
        self._sender = sender
        self._trust = trust or ssl.create_default_context()
        self._connection: smtplib.SMTP | None = None

    @property
    def name(self) -> str:
        return f"{self._host}:{self._port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.close()

    def check(self) -> None:
        """Connect, greet, encrypt and sign in; send nothing. Raises MailServerUnavailable."""
        with self._typed_errors():
            connection = self._opened()
            code, answer = connection.noop()
            if code != 250:
                raise MailServerUnavailable(f"{self.name} answered {code} {_text(answer)}")

    def send(self, message: Message) -> None:
        """Hand a message over. Raises MailServerUnavailable, MailRefused, MailUnsendable."""
        email = _email(message, self._sender)
        with self._typed_errors():
            self._opened().send_message(email, self._sender, [message.recipient])

    def close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.quit()
            except (OSError, smtplib.SMTPException):
                self._connection.close()
            self._connection = None

    def _opened(self) -> smtplib.SMTP:
        if self._connection is None:
            # The name that we greet with says nothing of this machine.
            if self._scheme == "smtps":
                made: smtplib.SMTP = smtplib.SMTP_SSL(
                    self._host, self._port, local_hostname="localhost", timeout=TIMEOUT_SECONDS, context=self._trust
                )
            else:
                made = smtplib.SMTP(self._host, self._port, local_hostname="localhost", timeout=TIMEOUT_SECONDS)
            try:
                self._prepare(made)
            except BaseException:
                made.close()
                raise
            self._connection = made
        return self._connection

    def _prepare(self, connection: smtplib.SMTP) -> None:
        connection.ehlo_or_helo_if_needed()
        if self._scheme == "smtp+starttls":
            # Raises SMTPNotSupportedError where it is not offered: nothing is sent in clear instead.
            connection.starttls(context=self._trust)
            connection.ehlo()
        if self._user is not None:
            connection.login(self._user, self._password or "")

    @contextmanager
    def _typed_errors(self) -> Iterator[None]:
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            code, answer = next(iter(error.recipients.values()))
            self._drop_if_closing(code)
            raise MailRefused(f"{self.name} answered {code} {_text(answer)}") from None
        except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
            self._drop_if_closing(error.smtp_code)
            raise MailRefused(f"{self.name} answered {error.smtp_code} {_text(error.smtp_error)}") from None
        except smtplib.SMTPAuthenticationError as error:
            # Some servers quote what was sent to them: the answer's text stays out.
            self._drop()
            raise MailServerUnavailable(
                f"{self.name} rejected the sign-in of {self._user} (answer {error.smtp_code}): check smtp_password_file"
            ) from None
        except smtplib.SMTPResponseException as error:
            self._drop()
            raise MailServerUnavailable(f"{self.name} answered {error.smtp_code} {_text(error.smtp_error)}") from None
        except smtplib.SMTPException as error:
            self._drop()
            raise MailServerUnavailable(f"{self.name}: {error}") from None
        except (OSError, UnicodeError) as error:  # a name that cannot be resolved or written, a reset, TLS that fails
            self._drop()
            raise MailServerUnavailable(f"{self.name} cannot be reached ({_reason(error)})") from None

    def _drop_if_closing(self, code: int) -> None:
        if code == 421:  # RFC 5321: the server closes the connection after this answer
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _email(message: Message, sender: str) -> EmailMessage:
    if not MAIL_ADDRESS.fullmatch(message.recipient):
        raise MailUnsendable("email cannot be sent to the recipient's address")
    name, _, domain = sender.rpartition("@")
    email = EmailMessage(policy=SMTP)
    email["From"] = Address(DISPLAY_NAME, name, domain)
    email["To"] = Address("", *message.recipient.rsplit("@", 1))
    # The library would read `=?…?=` as an encoded word, decode it, and write what it holds: line breaks too.
    email["Subject"] = " ".join(_plain(message.subject).replace("=?", "= ?").split())
    email["Date"] = format_datetime(message.at)
    email["Message-ID"] = f"<{message.number}.{dates.milliseconds(message.at)}@{domain}>"
    email["Auto-Submitted"] = "auto-generated"
    email.set_content("\n".join(map(_plain, message.text.splitlines())) + "\n", cte="quoted-printable")
    return email


def _text(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return _plain(text)[:200]


def _plain(line: str) -> str:
    return printable(line, " ")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    return getattr(error, "strerror", None) or type(error).__name__
