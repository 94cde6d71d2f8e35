"""Ceremonies: a sign-in that has begun and not ended, and the challenge that a passkey must answer. Each works once."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ForeignKey, LargeBinary, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.errors import NotPossible
from server.domain.identity import sessions
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

ATTEMPTS_AT_MOST = 5
KEPT_FOR = timedelta(days=1)  # far longer than any lives


class Kind(StrEnum):
    """What a ceremony is for; one begun for one thing is good for nothing else."""

    SECOND_FACTOR = "second_factor"  # the password was right; its challenge: which password that was
    PASSKEY = "passkey"  # signing in, or confirming that it is oneself
    PASSKEY_ADD = "passkey_add"
    TOTP_REPLACE = "totp_replace"  # its challenge: the new secret, sealed
    PROVIDER = "provider"  # at an identity provider; its challenge: what it was begun for, sealed
    PROVIDER_ACCEPT = "provider_accept"  # an invitation, with an identity; its challenge: which, sealed
    KEPT_FORM = "kept_form"  # its challenge: what was typed when the session had ended


LIFETIMES = {
    Kind.SECOND_FACTOR: timedelta(minutes=5),
    Kind.PASSKEY: timedelta(minutes=5),
    Kind.PASSKEY_ADD: timedelta(minutes=5),
    Kind.TOTP_REPLACE: timedelta(minutes=15),  # an app may have to be installed first
    Kind.PROVIDER: timedelta(minutes=15),  # somebody may have to find a device first
    Kind.PROVIDER_ACCEPT: timedelta(minutes=15),
    Kind.KEPT_FORM: timedelta(hours=1),
}


class Ceremony(Base):
    """The browser holds a secret; here stands its hash, for whom it is, and what has been shown so far."""

    __tablename__ = "ceremonies"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    kind: Mapped[str] = mapped_column(String(32))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("people.id"), index=True)  # None: not known yet
    challenge: Mapped[bytes | None] = mapped_column(LargeBinary)
    began_at: Mapped[datetime] = mapped_column(Moment, index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)


def begin(use: Resources, kind: Kind, person_id: int | None, challenge: bytes) -> str:
    """Begin one; returns the secret for the browser."""
    secret = secrets.token_urlsafe(32)
    with use.database.transaction() as session:
        row = Ceremony(
            secret_sha256=sessions.sha256(secret), kind=kind, person_id=person_id, challenge=challenge,
            began_at=use.clock(),
        )  # fmt: skip
        session.add(row)
    return secret


def running(session: Session, use: Resources, secret: str | None, kind: Kind) -> Ceremony:
    """The ceremony of this secret. Raises NotPossible when it is over."""
    query = select(Ceremony).where(Ceremony.secret_sha256 == sessions.sha256(secret or ""), Ceremony.kind == kind)
    ceremony = session.scalar(query)
    if (
        ceremony is None
        or ceremony.ended_at is not None
        or ceremony.attempts >= ATTEMPTS_AT_MOST
        or use.clock() >= ceremony.began_at + LIFETIMES[kind]
    ):
        raise NotPossible(
            "This took too long, was already completed, or was tried too many times.", next_step="Start again."
        )
    return ceremony


def attempt(use: Resources, secret: str | None, kind: Kind) -> Ceremony:
    """Count a try, for good, before it is looked at: tries at the same time count as well. Raises NotPossible."""
    with use.database.transaction() as session:
        ceremony = running(session, use, secret, kind)
        counted = session.execute(
            update(Ceremony)
            .where(Ceremony.id == ceremony.id, Ceremony.attempts < ATTEMPTS_AT_MOST)
            .values(attempts=Ceremony.attempts + 1)
        )
        if not counted.rowcount:  # type: ignore[attr-defined]
            raise NotPossible("Too many attempts.", next_step="Start again.")
        return ceremony


def finish(session: Session, ceremony: Ceremony, at: datetime) -> None:
    """Use a ceremony up; of two who try at once, one does. Raises NotPossible."""
    finished = session.execute(
        update(Ceremony).where(Ceremony.id == ceremony.id, Ceremony.ended_at.is_(None)).values(ended_at=at)
    )
    if not finished.rowcount:  # type: ignore[attr-defined]
        raise NotPossible("Another request of yours has just completed this.", next_step="Start again.")


def clean(use: Resources) -> None:
    """Remove what has long been over."""
    with use.database.transaction() as session:
        session.execute(delete(Ceremony).where(Ceremony.began_at < use.clock() - KEPT_FOR))
