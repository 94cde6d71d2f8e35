"""Role grants: a role of the lab is proposed by one admin and given by another; each giving is a row that stays."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, select, update
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.storage.database import Base, Key, Moment


class RoleGrant(Base):
    """One giving of a role. Who has a role without a standing grant was given it by one person, under older rules."""

    __tablename__ = "role_grants"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    role: Mapped[Role] = mapped_column(String(16))
    # Of the first two admins, whom nobody could have approved, and of those whom the host's owner restored.
    is_root: Mapped[bool] = mapped_column(default=False)
    proposed_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    proposed_at: Mapped[datetime] = mapped_column(Moment)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    approved_at: Mapped[datetime | None] = mapped_column(Moment)
    closed_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    closed_at: Mapped[datetime | None] = mapped_column(Moment)
    closed_because: Mapped[str | None] = mapped_column(String(16))  # rejected, withdrawn, replaced
    person: Mapped[Person] = relationship(foreign_keys=[person_id])
    proposer: Mapped[Person | None] = relationship(foreign_keys=[proposed_by])
    approver: Mapped[Person | None] = relationship(foreign_keys=[approved_by])

    @property
    def given_by(self) -> str:
        """For people: who gave it."""
        if self.is_root and self.proposer is not None:
            return f"{self.proposer.email} alone, on the host"
        if self.is_root:
            return "init, as one of the first two admins"
        return " and ".join(giver.email for giver in (self.proposer, self.approver) if giver is not None)


IS_OPEN = RoleGrant.approved_at.is_(None) & RoleGrant.closed_at.is_(None)
IS_STANDING = RoleGrant.approved_at.is_not(None) & RoleGrant.closed_at.is_(None)
# Of two who propose at once for the same person, one does; and a person's role comes from one grant.
Index(
    "ux_role_grants_open", RoleGrant.person_id, unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
)  # fmt: skip
Index(
    "ux_role_grants_standing", RoleGrant.person_id, unique=True, sqlite_where=IS_STANDING,
    postgresql_where=IS_STANDING,
)  # fmt: skip


def standing(session: Session, person: Person) -> RoleGrant | None:
    """The grant that a person's present role rests on; None where one person gave it, or a table was changed."""
    return session.scalar(
        select(RoleGrant).where(RoleGrant.person_id == person.id, RoleGrant.role == str(person.role), IS_STANDING)
    )


def open_of(session: Session, person: Person) -> RoleGrant | None:
    """What waits for a second admin."""
    return session.scalar(select(RoleGrant).where(RoleGrant.person_id == person.id, IS_OPEN))


def of_people(session: Session, person_ids: Collection[int]) -> dict[int, list[RoleGrant]]:
    """The open and the standing grant of each of these people, with who proposed and who approved."""
    query = select(RoleGrant).where(RoleGrant.person_id.in_(person_ids), RoleGrant.closed_at.is_(None))
    query = query.options(joinedload(RoleGrant.proposer), joinedload(RoleGrant.approver)).order_by(RoleGrant.id)
    found: dict[int, list[RoleGrant]] = {}
    for grant in session.scalars(query):
        found.setdefault(grant.person_id, []).append(grant)
    return found


def root(session: Session, person: Person, at: datetime, by: int | None = None) -> None:
    """Give somebody their role without a second person: one of the first two admins, or restored on the host."""
    role = Role(person.role)
    session.add(RoleGrant(person_id=person.id, role=role, is_root=True, proposed_by=by, proposed_at=at, approved_at=at))


def replace(session: Session, person_id: int, by: int | None, at: datetime) -> None:
    """Close the grant that a new one takes the place of."""
    ended = update(RoleGrant).where(RoleGrant.person_id == person_id, IS_STANDING)
    session.execute(ended.values(closed_by=by, closed_at=at, closed_because="replaced"))
