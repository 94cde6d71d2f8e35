"""Mails: what people are told outside the portal. Written with the act that they tell of, sent by the worker."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Index, String, Text, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.errors import NotFound
from server.domain.paging import Page, Slice, page
from server.domain.resources import Resources
from server.settings import Settings
from server.storage import keys
from server.storage.database import Base, Key, Moment
from server.storage.mail import MailRefused, MailServer, MailServerUnavailable, MailUnsendable, Message
from server.text import printable

FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
GIVEN_UP_AFTER = timedelta(days=3)
CLAIMED_FOR = timedelta(minutes=5)  # longer than a slow server needs for one mail
AT_ONCE = 10  # few enough that a worker which is told to end soon does


class Mail(Base):
    """One message in the outbox. Its text is deleted once it is sent, because it may contain a sign-in link."""

    __tablename__ = "mails"
    __table_args__ = (Index("ix_mails_next_attempt_at", "next_attempt_at"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    queued_at: Mapped[datetime] = mapped_column(Moment)
    next_attempt_at: Mapped[datetime | None] = mapped_column(Moment)  # None: sent, or given up
    attempts: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    last_error: Mapped[str | None] = mapped_column(String(300))


def queue(
    session: Session,
    use: Resources,
    kind: str,
    recipient: str,
    subject: str,
    text: str,
    at: datetime,
    *,
    wait: timedelta = timedelta(0),
) -> None:
    """Have a mail sent once the caller's transaction has committed; without the commit nothing is sent.

    kind: one word for whoever looks into the outbox, like `invitation`. text: plain, in lines as they should be read;
    whom to ask is added. Links begin with `use.settings.public_url`, and never act by being opened.
    """
    made = use.settings
    ending = f"\n\n-- \nWeightgate at {made.public_url}\nQuestions: {made.contact}\n"
    mail = Mail(
        kind=kind, recipient=recipient, subject=_one_line(subject), text=text.strip() + ending,
        queued_at=at, next_attempt_at=at + wait, attempts=0,
    )  # fmt: skip
    session.add(mail)


class Outcome(NamedTuple):
    """What came of one try. error: None when it was sent."""

    mail: Mail
    error: str | None


def server_of(settings: Settings) -> MailServer | None:
    """The mail server that the settings name; None: mails wait. Raises KeyFileError for its password's file."""
    if settings.smtp_url is None:
        return None
    file = settings.smtp_password_file
    password = None if file is None else keys.read_private(file).decode("utf-8", "replace").strip("\r\n")
    return MailServer(settings.smtp_url, str(settings.mail_from), password)


def send_due(use: Resources) -> list[Outcome]:
    """Send what is due, as far as it goes at once; several workers may. Returns what was tried.

    A mail is claimed first: of two workers one gets it. If we crash after the server took it and before that is
    written down, it is sent once more when the claim has ended, with the same Message-ID. Without a server all waits.
    Raises MailServerUnavailable when the server is not there; the mail that met it waits longer each time.
    """
    if use.settings.development_mails:
        return [_keep(use, mail) for mail in _claimed(use)]
    if (server := server_of(use.settings)) is None:
        return []
    with server:
        return [_send(use, server, mail) for mail in _claimed(use)]


def listed(session: Session, part: Slice) -> Page[Mail]:
    """The outbox, newest first. For the development page alone: whoever calls has made sure of that."""
    return page(session, select(Mail), Mail.id, part, newest_first=True)


def get(session: Session, mail_id: int) -> Mail:
    """See `listed`. Raises NotFound."""
    mail = session.get(Mail, mail_id)
    if mail is None:
        raise NotFound(f"There is no email {mail_id}.")
    return mail


def waiting(session: Session) -> tuple[int, int]:
    """How many mails wait to be sent, and how many were given up."""
    unsent = Mail.sent_at.is_(None)
    wait = select(func.count()).where(Mail.next_attempt_at.is_not(None))
    given_up = select(func.count()).where(Mail.next_attempt_at.is_(None), unsent)
    return session.scalar(wait) or 0, session.scalar(given_up) or 0


def oldest_waiting(session: Session) -> datetime | None:
    """When the one that has waited longest was written; None when none waits."""
    return session.scalar(select(func.min(Mail.queued_at)).where(Mail.next_attempt_at.is_not(None)))


def _claimed(use: Resources) -> Iterator[Mail]:
    """Mails that are due, each just before it is sent, and put off meanwhile so that nobody else takes it."""
    at = use.clock()
    due = select(Mail.id).where(Mail.next_attempt_at <= at).order_by(Mail.next_attempt_at, Mail.id).limit(AT_ONCE)
    with use.database.reading() as session:
        numbers = session.scalars(due).all()
    for number in numbers:
        with use.database.transaction() as session:
            mail = session.get(Mail, number, with_for_update=True, populate_existing=True)
            at = use.clock()
            if mail is None or mail.next_attempt_at is None or mail.next_attempt_at > at:
                continue  # another worker has it
            mail.attempts += 1
            mail.next_attempt_at = at + CLAIMED_FOR
        yield mail


def _send(use: Resources, server: MailServer, mail: Mail) -> Outcome:
    try:
        server.send(Message(mail.recipient, mail.subject, mail.text, mail.queued_at, mail.id))
    except MailUnsendable as error:
        return _failed(use, mail, str(error), for_good=True)
    except MailRefused as error:
        return _failed(use, mail, str(error))
    except MailServerUnavailable as error:
        _failed(use, mail, str(error))
        raise
    _set(use, mail, sent_at=use.clock(), next_attempt_at=None, last_error=None, text="")
    return Outcome(mail, None)


def _keep(use: Resources, mail: Mail) -> Outcome:
    """Development: whoever called shows it; the text stays, for the page."""
    _set(use, mail, sent_at=use.clock(), next_attempt_at=None, last_error=None)
    return Outcome(mail, None)


def _failed(use: Resources, mail: Mail, reason: str, *, for_good: bool = False) -> Outcome:
    again = use.clock() + min(FIRST_PAUSE * 2 ** min(mail.attempts - 1, 20), LONGEST_PAUSE)
    if for_good or again > mail.queued_at + GIVEN_UP_AFTER:
        # Nobody will send it any more: then nobody shall read its link in the table either.
        _set(use, mail, next_attempt_at=None, last_error=reason[:300], text="")
    else:
        _set(use, mail, next_attempt_at=again, last_error=reason[:300])
    return Outcome(mail, reason)


def _set(use: Resources, mail: Mail, **values: Any) -> None:
    with use.database.transaction() as session:
        session.execute(update(Mail).where(Mail.id == mail.id).values(**values))


def _one_line(text: str) -> str:
    # Names that people chose stand in subjects: a line break would begin a header of theirs.
    return printable(text, " ")[:200]
