"""Password resets: a link by mail to whoever asks, and the same answer for an address that nobody has."""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.accounts import factors
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotPossible
from server.domain.identity import people, sessions
from server.domain.identity.people import Person
from server.domain.mail import mails
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

LIFETIME = timedelta(hours=1)
ATTEMPTS_AT_MOST = 5
KEPT_FOR = timedelta(days=30)


class PasswordReset(Base):
    """Works once and not for long. It replaces the password only: the second factor stays."""

    __tablename__ = "password_resets"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)  # None: an address of nobody
    asked_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    attempts: Mapped[int] = mapped_column(default=0)
    used_at: Mapped[datetime | None] = mapped_column(Moment)


def ask(use: Resources, email: str) -> None:
    """Send the person with this address a link. Nothing tells whether there is one: the same is written either way."""
    secret = secrets.token_urlsafe(32)
    with use.database.transaction() as session:
        person = session.scalar(select(Person).where(people.known_as(email)))
        if person is not None and person.disabled_at is not None:
            person = None
        at = use.clock()
        person_id = None if person is None else person.id
        older = update(PasswordReset).where(PasswordReset.person_id == person_id, PasswordReset.used_at.is_(None))
        session.execute(older.values(used_at=at))  # one link at a time: the newest
        reset = PasswordReset(
            secret_sha256=sessions.sha256(secret), person_id=person_id, asked_at=at, expires_at=at + LIFETIME
        )
        session.add(reset)
        session.flush()
        if person is not None:
            text = (
                f"Choose a new password here. You need your second factor:\n"
                f"{use.settings.public_url}/password/{secret}\n\n"
                "Someone, hopefully you, asked to reset your password on the sign-in page. The link works once and "
                "expires in an hour. If this was not you, ignore this email: your password stays the same."
            )
            mails.queue(session, use, "password_reset", person.email, "Choose a new password", text, at)


def require_open(session: Session, use: Resources, secret: str) -> PasswordReset:
    """The reset of a link. Raises NotPossible when it is over, or never was."""
    reset = session.scalar(select(PasswordReset).where(PasswordReset.secret_sha256 == sessions.sha256(secret)))
    if (
        reset is None
        or reset.person_id is None
        or reset.used_at is not None
        or reset.attempts >= ATTEMPTS_AT_MOST
        or use.clock() >= reset.expires_at
    ):
        raise NotPossible(
            "This link was already used, has expired, was replaced by a newer one, or was tried too many times.",
            next_step="Request a new link.",
        )
    return reset


def reset(use: Resources, stranger: Caller, secret: str, password: str, code: str) -> None:
    """Replace the password of the link's person, who shows a one-time or a recovery code. Every session ends."""
    with use.database.reading() as session:  # hashing is slow on purpose: not for whoever knows no link
        require_open(session, use, secret)
    hashed = people.hash_password(password)  # before the try is counted: a password that is too short is none
    open_reset = _attempt(use, secret)
    with use.database.transaction() as session:
        person = session.get_one(Person, open_reset.person_id, with_for_update=True)
        at = use.clock()
        used = session.execute(
            update(PasswordReset)
            .where(PasswordReset.id == open_reset.id, PasswordReset.used_at.is_(None))
            .values(used_at=at)
        )
        if not used.rowcount:  # type: ignore[attr-defined]
            raise NotPossible("This link has just been used.", next_step="Request a new link.")
        if person.disabled_at is not None:
            raise NotPossible("This account is disabled.", next_step="Contact {contact}.")
        _accept(session, use, person, code, at)
        person.password_hash, person.password_is_handed, person.has_password = hashed, False, True
        sessions.end_all(session, person.id, at, "the password was reset")
        how = "It was reset with a link sent to this address and your second factor. You are signed out everywhere."
        factors.tell(session, use, person, "Your password was reset", how, at)
        caller = replace(stranger, via="session", organization=person.organization.slug, person=person.email)
        people.record(session, caller, EntryKind.PASSWORD_RESET, person, at)


def clean(use: Resources) -> None:
    """Forget what was asked long ago."""
    with use.database.transaction() as session:
        session.execute(delete(PasswordReset).where(PasswordReset.asked_at < use.clock() - KEPT_FOR))


def _attempt(use: Resources, secret: str) -> PasswordReset:
    """Count a try, for good, before the code is looked at."""
    with use.database.transaction() as session:
        reset = require_open(session, use, secret)
        counted = session.execute(
            update(PasswordReset)
            .where(PasswordReset.id == reset.id, PasswordReset.attempts < ATTEMPTS_AT_MOST)
            .values(attempts=PasswordReset.attempts + 1)
        )
        if not counted.rowcount:  # type: ignore[attr-defined]
            raise NotPossible("This link was tried too many times.", next_step="Request a new link.")
        return reset


def _accept(session: Session, use: Resources, person: Person, code: str, at: datetime) -> None:
    """A one-time code has six digits, a recovery code sixteen letters and digits."""
    if len("".join(code.split())) <= 8:
        factors.accept_totp(session, use, person, code)
        return
    try:
        factors.accept_recovery_code(session, person.id, code, at)
    except InvalidRequest:
        raise InvalidRequest(
            "The code is incorrect, or has already been used.", next_step="Try another code."
        ) from None
