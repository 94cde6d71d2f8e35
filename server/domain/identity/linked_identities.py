"""Linked identities: by which accounts at identity providers a person signs in. (issuer, subject) alone says whose."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.storage.database import Base, Key, Moment


class LinkedIdentity(Base):
    """One account at one provider, and whose it is. An e-mail address never decides: it may become another's."""

    __tablename__ = "linked_identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"), UniqueConstraint("person_id", "issuer"))
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    issuer: Mapped[str] = mapped_column(String(500))
    subject: Mapped[str] = mapped_column(String(255))
    linked_at: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime | None] = mapped_column(Moment)


def find(session: Session, issuer: str, subject: str) -> LinkedIdentity | None:
    """Whose account at a provider this is."""
    query = select(LinkedIdentity).where(LinkedIdentity.issuer == issuer, LinkedIdentity.subject == subject)
    return session.scalar(query)


def at_issuer(session: Session, person_id: int | None, issuer: str) -> LinkedIdentity | None:
    """A person's own account at a provider."""
    mine = LinkedIdentity.person_id == person_id, LinkedIdentity.issuer == issuer
    return session.scalar(select(LinkedIdentity).where(*mine))


def of_person(session: Session, person_id: int | None) -> Sequence[LinkedIdentity]:
    """All of a person's, in the order of their linking."""
    query = select(LinkedIdentity).where(LinkedIdentity.person_id == person_id).order_by(LinkedIdentity.id)
    return session.scalars(query).all()
