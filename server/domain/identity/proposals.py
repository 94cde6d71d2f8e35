"""Proposals: what else takes two people: one proposes an act with all that it says, another lets it happen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from sqlalchemy import ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InsufficientScope, NotFound, NotPossible
from server.domain.identity import second_person
from server.domain.identity.people import Person
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.storage.database import Base, Key, Moment


class ProposalKind(StrEnum):
    """What is proposed."""

    CHECKPOINT = "checkpoint"
    KEYS = "keys"
    QUOTA = "quota"
    REPORTS = "reports"


@dataclass(frozen=True, slots=True)
class About:
    """What a kind is called, with `{}` for what it is on, and what its proposer must be allowed.

    afterwards: what is left to do once it is approved, within `good_for`; None where the approval carries it out.
    """

    words: str
    permission: Permission
    afterwards: str | None = None
    good_for: timedelta = timedelta(0)


KINDS: dict[ProposalKind, About] = {
    ProposalKind.CHECKPOINT: About("a checkpoint of {}", Permission.CHECKPOINT_PUBLISH),
    ProposalKind.KEYS: About(
        "new keys for the log {}",
        Permission.LOG_MANAGE,
        "Within 7 days, run `weightgate-server keys rotate` on the machine with the log's keys.",
        timedelta(days=7),
    ),
    ProposalKind.QUOTA: About("the quota of {}", Permission.ORGANIZATION_MANAGE),
    ProposalKind.REPORTS: About("a lower minimum of reports for {}", Permission.STAGE_MANAGE),
}


class Proposal(Base):
    """An act that waits, or waited, for a second person. payload: JSON, exactly what is carried out."""

    __tablename__ = "proposals"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    kind: Mapped[ProposalKind] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(200))
    payload: Mapped[str] = mapped_column(Text)
    proposed_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    proposed_at: Mapped[datetime] = mapped_column(Moment)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    approved_at: Mapped[datetime | None] = mapped_column(Moment)
    closed_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    closed_at: Mapped[datetime | None] = mapped_column(Moment)
    proposer: Mapped[Person] = relationship(foreign_keys=[proposed_by])
    approver: Mapped[Person | None] = relationship(foreign_keys=[approved_by])
    closer: Mapped[Person | None] = relationship(foreign_keys=[closed_by])

    @property
    def says(self) -> dict[str, Any]:
        """What is carried out."""
        said: dict[str, Any] = orjson.loads(self.payload)
        return said

    @property
    def about(self) -> About:
        return KINDS[ProposalKind(self.kind)]

    @property
    def title(self) -> str:
        """What it is about, for people: `the quota of aurora`."""
        return self.about.words.format(self.subject)

    @property
    def state(self) -> str:
        """One word for people: proposed, approved, rejected or withdrawn."""
        if self.approved_at is not None:
            return "approved"
        if self.closed_at is None:
            return "proposed"
        return "withdrawn" if self.closed_by == self.proposed_by else "rejected"


IS_OPEN = Proposal.approved_at.is_(None) & Proposal.closed_at.is_(None)
# Of two who propose the same at once, one does.
Index(
    "ux_proposals_open", Proposal.kind, Proposal.subject, unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN
)  # fmt: skip
_WITH_PEOPLE = select(Proposal).options(
    joinedload(Proposal.proposer), joinedload(Proposal.approver), joinedload(Proposal.closer)
)


def create(
    session: Session, caller: Caller, kind: ProposalKind, subject: str, says: Mapping[str, Any], at: datetime
) -> Proposal:
    """Propose inside the caller's transaction, as its last act. Raises NotPossible while the same subject waits."""
    for permission in (Permission.PROPOSAL_CREATE, KINDS[kind].permission):
        caller.require(permission)  # a token proposes what it was made to do itself, and nothing else
    require_none_open(session, kind, subject)
    payload = orjson.dumps(dict(says), option=orjson.OPT_SORT_KEYS).decode()
    proposal = Proposal(
        kind=kind, subject=subject, payload=payload, proposed_by=caller.person_id, proposed_at=at,
        proposer=session.get_one(Person, caller.person_id),
    )  # fmt: skip
    session.add(proposal)
    session.flush()
    _record(session, caller, EntryKind.PROPOSAL_CREATE, proposal, at)
    return proposal


def open_of(session: Session, kind: ProposalKind, subject: str) -> Proposal | None:
    """The one that waits, if any."""
    return session.scalar(select(Proposal).where(Proposal.kind == kind, Proposal.subject == subject, IS_OPEN))


def all_open_of(session: Session, caller: Caller, subject: str) -> Sequence[Proposal]:
    """Whatever waits for this subject."""
    caller.require(Permission.PROPOSAL_READ)
    return session.scalars(select(Proposal).where(Proposal.subject == subject, IS_OPEN).order_by(Proposal.id)).all()


def require_none_open(session: Session, kind: ProposalKind, subject: str) -> None:
    """Raise NotPossible while the same subject waits."""
    if (waiting := open_of(session, kind, subject)) is not None:
        raise NotPossible(
            f"Proposal {waiting.id} for {subject} is still waiting.", next_step="Approve, reject or withdraw it first."
        )


def approve_in(session: Session, caller: Caller, proposal_id: int, at: datetime) -> Proposal:
    """Approve inside the transaction that then carries it out. Raises what `second_person.require` raises."""
    caller.require(Permission.PROPOSAL_APPROVE)
    proposal = _open(session, proposal_id)
    second_person.require(session, caller, proposal.proposed_by, proposal.about.permission)
    proposal.approved_by, proposal.approved_at = caller.person_id, at
    _record(session, caller, EntryKind.PROPOSAL_APPROVE, proposal, at)
    return proposal


def reject_in(session: Session, caller: Caller, proposal_id: int, at: datetime) -> Proposal:
    """Close a proposal; its proposer withdraws it so, and nobody but an admin rejects another's."""
    caller.require(Permission.PROPOSAL_CREATE)
    if caller.via == "token":
        raise InsufficientScope("Tokens cannot do this. A person must sign in.", next_step="Contact {contact}.")
    proposal = _open(session, proposal_id)
    if proposal.proposed_by != caller.person_id:
        caller.require(Permission.PROPOSAL_APPROVE)
    proposal.closed_by, proposal.closed_at = caller.person_id, at
    _record(session, caller, EntryKind.PROPOSAL_REJECT, proposal, at)
    return proposal


def listed(session: Session, caller: Caller, part: Slice) -> Page[Proposal]:
    """All of them, newest first."""
    caller.require(Permission.PROPOSAL_READ)
    return page(session, _WITH_PEOPLE, Proposal.id, part, newest_first=True)


def get(session: Session, caller: Caller, proposal_id: int) -> Proposal:
    """One of them. Raises NotFound."""
    caller.require(Permission.PROPOSAL_READ)
    proposal = session.scalar(_WITH_PEOPLE.where(Proposal.id == proposal_id))
    if proposal is None:
        raise NotFound(f"There is no proposal {proposal_id}.")
    return proposal


def _open(session: Session, proposal_id: int) -> Proposal:
    proposal = session.get(Proposal, proposal_id, with_for_update=True)
    if proposal is None:
        raise NotFound(f"There is no proposal {proposal_id}.")
    if proposal.state != "proposed":
        raise NotPossible(f"Proposal {proposal_id} is already {proposal.state}.")
    return proposal


def _record(session: Session, caller: Caller, kind: EntryKind, about: Proposal, at: datetime) -> None:
    record = {
        "actor": caller.as_record(), "proposal": about.id, "what": str(about.kind), "on": about.subject,
        "says": about.says,
    }  # fmt: skip
    acts.append(session, kind, at, record)
