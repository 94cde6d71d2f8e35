"""Known credentials: who was shown what somebody else signs in with, and could act in that name from then on."""

from datetime import datetime

from sqlalchemy import ForeignKey, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.storage.database import Base, Key, Moment


class KnownCredentials(Base):
    """One showing. It counts until the person's role is given anew: whoever approves that vouches for the account."""

    __tablename__ = "known_credentials"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    known_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    since: Mapped[datetime] = mapped_column(Moment)
    vouched_at: Mapped[datetime | None] = mapped_column(Moment)  # when two people gave the role anew


def note(session: Session, person_id: int, known_by: int | None, at: datetime) -> None:
    """Keep that somebody was shown another person's new credentials."""
    if known_by is not None and known_by != person_id:
        session.add(KnownCredentials(person_id=person_id, known_by=known_by, since=at))


def are_known(session: Session, person_id: int, by: int | None) -> bool:
    """Whether somebody was shown them since two people last gave the person's role."""
    shown = select(KnownCredentials.id).where(
        KnownCredentials.person_id == person_id, KnownCredentials.known_by == by, KnownCredentials.vouched_at.is_(None)
    )
    return session.scalar(shown.limit(1)) is not None


def of_anybody(session: Session, person_id: int) -> bool:
    """The same of anybody at all."""
    shown = select(KnownCredentials.id).where(
        KnownCredentials.person_id == person_id, KnownCredentials.vouched_at.is_(None)
    )
    return session.scalar(shown.limit(1)) is not None


def vouch(session: Session, person_id: int, at: datetime) -> None:
    """Somebody else than those who were shown them has said that the account is its person's."""
    mine = KnownCredentials.person_id == person_id, KnownCredentials.vouched_at.is_(None)
    session.execute(update(KnownCredentials).where(*mine).values(vouched_at=at))
