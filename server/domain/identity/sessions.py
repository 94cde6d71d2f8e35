"""Sessions: who is signed in to the portal. A row each, so that ending one is a fact and not a hope."""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import ForeignKey, Index, LargeBinary, String, delete, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired, NotFound
from server.domain.paging import Page, Slice, page
from server.domain.permissions import STAFF, Role
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

FRESH_FOR = timedelta(minutes=5)  # how long a proof counts for acts of the lab, and for changes of how one signs in
KEPT_FOR = timedelta(days=90)  # a person sees so far back where they were signed in
TOUCH_EVERY = timedelta(minutes=1)  # how exact "last seen" is; each request would otherwise be a write


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lives: without a request, and altogether."""

    idle: timedelta
    absolute: timedelta


PARTNER_LIMITS = Limits(timedelta(minutes=30), timedelta(hours=12))
STAFF_LIMITS = Limits(timedelta(minutes=15), timedelta(hours=8))


class SignIn(Base):
    """One session of a person. The browser holds 32 random bytes; here stands their hash."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_person_id_id", "person_id", "id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    factor: Mapped[str] = mapped_column(String(16))  # the second one: totp, passkey, recovery_code, provider
    issuer: Mapped[str | None] = mapped_column(String(500))  # of the identity provider by which it began
    began_at: Mapped[datetime] = mapped_column(Moment)
    seen_at: Mapped[datetime] = mapped_column(Moment)  # to the minute
    proved_at: Mapped[datetime] = mapped_column(Moment)  # when the person last proved who they are
    address: Mapped[str | None] = mapped_column(String(64))
    user_agent: Mapped[str | None] = mapped_column(String(300))
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    ended_because: Mapped[str | None] = mapped_column(String(64))


def begin(
    session: Session,
    caller: Caller,
    person_id: int,
    factor: str,
    at: datetime,
    issuer: str | None = None,
    proved_at: datetime | None = None,
) -> str:
    """Sign a proven person in; returns the secret for the browser. `caller` says from where.

    issuer: of the identity provider that proved it. proved_at: when it did; now, where nothing is said.
    """
    secret = secrets.token_urlsafe(32)
    row = SignIn(
        secret_sha256=sha256(secret), person_id=person_id, factor=factor, issuer=issuer, began_at=at, seen_at=at,
        proved_at=proved_at or at, address=caller.address, user_agent=caller.user_agent,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return secret


class Lasting(Protocol):
    """What of a session says how long it counts."""

    @property
    def began_at(self) -> datetime: ...
    @property
    def seen_at(self) -> datetime: ...
    @property
    def ended_at(self) -> datetime | None: ...


def has_ended(row: Lasting, role: Role | str, at: datetime) -> bool:
    """Whether a session of somebody with this role no longer counts."""
    limits = limits_of(role)
    return row.ended_at is not None or at >= row.seen_at + limits.idle or at >= row.began_at + limits.absolute


def touch(use: Resources, session_id: int, at: datetime) -> None:
    """Note that a session was used; see TOUCH_EVERY."""
    seen = update(SignIn).where(SignIn.id == session_id).values(seen_at=at)
    use.database.together(lambda session: session.execute(seen))


def end(use: Resources, caller: Caller, session_id: int) -> None:
    """End one of the caller's own sessions. Raises NotFound for anybody else's."""
    with use.database.transaction() as session:
        ended = session.execute(
            update(SignIn)
            .where(SignIn.id == session_id, SignIn.person_id == caller.person_id, SignIn.ended_at.is_(None))
            .values(ended_at=use.clock(), ended_because="ended by the person")
        )
        if not ended.rowcount:  # type: ignore[attr-defined]
            raise NotFound("You have no such session, or it has already ended.")


def end_all(session: Session, person_id: int, at: datetime, because: str, *, but: int | None = None) -> None:
    """End every session of a person: they were disabled, or what proves them has changed. `but`: the one that stays."""
    query = update(SignIn).where(SignIn.person_id == person_id, SignIn.ended_at.is_(None))
    if but is not None:
        query = query.where(SignIn.id != but)
    session.execute(query.values(ended_at=at, ended_because=because))


def prove(session: Session, session_id: int, at: datetime) -> str:
    """Note that the person proved themselves anew; returns the session's new secret. Raises AuthenticationRequired.

    The old secret opens nothing from now on: whoever planted or copied it gains nothing by the proof.
    """
    secret = secrets.token_urlsafe(32)
    proved = session.execute(
        update(SignIn)
        .where(SignIn.id == session_id, SignIn.ended_at.is_(None))
        .values(secret_sha256=sha256(secret), proved_at=at, seen_at=at)
    )
    if not proved.rowcount:  # type: ignore[attr-defined]
        raise AuthenticationRequired("Your session has ended.", next_step="Sign in again.")
    return secret


def end_others(use: Resources, caller: Caller) -> None:
    """End every session of the caller but this one."""
    with use.database.transaction() as session:
        end_all(session, caller.person_id or 0, use.clock(), "ended by the person", but=caller.session_id)


def clean(use: Resources) -> None:
    """Forget sessions of long ago."""
    with use.database.transaction() as session:
        session.execute(delete(SignIn).where(SignIn.began_at < use.clock() - KEPT_FOR))


def own(session: Session, caller: Caller, part: Slice) -> Page[SignIn]:
    """The caller's sessions, newest first; ended ones too."""
    query = select(SignIn).where(SignIn.person_id == caller.person_id)
    return page(session, query, SignIn.id, part, newest_first=True)


def last_seen(session: Session, person_ids: Collection[int]) -> dict[int, datetime]:
    """When each of these people was last seen, to the minute; who never signed in is not there."""
    newest = select(SignIn.person_id, func.max(SignIn.seen_at)).where(SignIn.person_id.in_(person_ids))
    return dict(session.execute(newest.group_by(SignIn.person_id)).all())


def limits_of(role: Role | str) -> Limits:
    return STAFF_LIMITS if role in STAFF else PARTNER_LIMITS


def sha256(secret: str) -> bytes:
    """What is kept of a secret of 256 random bits; they need no salt."""
    return hashlib.sha256(secret.encode()).digest()
