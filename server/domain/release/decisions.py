"""Decisions: what moves a stage or lifts a hold. Proposed by one admin, approved by another, and kept for good.

The acts are in `domain/decisions/`; here are the rows, and who may read what of them.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity.people import Person
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release import stages
from server.domain.release.stages import OPENING, Stage, StageState
from server.storage.database import Base, Key, Moment


class DecisionKind(StrEnum):
    """What is decided."""

    MOVE = "move"  # of a stage
    LIFT = "lift"  # of a hold


class DecisionState(StrEnum):
    """How far it is. From `done` on nothing changes any more: whoever wants it otherwise proposes anew."""

    PROPOSED = "proposed"
    APPROVED = "approved"  # and waits for its moment
    DONE = "done"
    BLOCKED = "blocked"  # its moment came, and something forbade it
    REJECTED = "rejected"
    CANCELLED = "cancelled"


class Decision(Base):
    """One decision, with all that it rested on. evidence: JSON, as it was when proposed, and when it was done."""

    __tablename__ = "decisions"
    __table_args__ = tuple(Index(f"ix_decisions_{name}_id", name, "id") for name in ("stage_id", "state", "subject"))
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    kind: Mapped[DecisionKind] = mapped_column(String(8))
    subject: Mapped[str] = mapped_column(String(200))  # `gpt-2/774M`, or what the hold is on
    stage_id: Mapped[int | None] = mapped_column(ForeignKey("stages.id"))  # None: a lift of something else
    from_state: Mapped[StageState | None] = mapped_column(String(16))
    to_state: Mapped[StageState | None] = mapped_column(String(16))
    state: Mapped[DecisionState] = mapped_column(String(16))
    rationale: Mapped[str] = mapped_column(Text)  # Markdown, as is the next
    would_change: Mapped[str] = mapped_column(Text)
    public_reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[str] = mapped_column(Text)
    evidence_when_done: Mapped[str | None] = mapped_column(Text)
    opens_at: Mapped[datetime | None] = mapped_column(Moment)  # None: as soon as it is approved
    proposed_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    proposed_at: Mapped[datetime] = mapped_column(Moment)
    approved_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    approved_at: Mapped[datetime | None] = mapped_column(Moment)
    approved_because: Mapped[str | None] = mapped_column(Text)
    closed_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))  # who rejected or cancelled it
    closed_at: Mapped[datetime | None] = mapped_column(Moment)  # rejected, cancelled or blocked
    closed_because: Mapped[str | None] = mapped_column(Text)
    blocked_because: Mapped[str | None] = mapped_column(Text)
    done_at: Mapped[datetime | None] = mapped_column(Moment)
    stage: Mapped[Stage | None] = relationship()
    proposer: Mapped[Person] = relationship(foreign_keys=[proposed_by])
    approver: Mapped[Person | None] = relationship(foreign_keys=[approved_by])
    closer: Mapped[Person | None] = relationship(foreign_keys=[closed_by])

    @property
    def title(self) -> str:
        """For people: `gpt-2/774M: partners → public`."""
        return f"{self.subject}: {self.from_state} → {self.to_state}" if self.to_state else f"{self.subject}: lift"

    @property
    def is_opening(self) -> bool:
        """Whether somebody can download after it who could not before."""
        return self.kind == DecisionKind.LIFT or (self.from_state, self.to_state) in OPENING

    @property
    def is_open(self) -> bool:
        return self.state in {DecisionState.PROPOSED, DecisionState.APPROVED}

    @property
    def rested_on(self) -> Mapping[str, Any]:
        """The evidence when it was proposed."""
        found: dict[str, Any] = json.loads(self.evidence)
        return found

    @property
    def rested_on_when_done(self) -> Mapping[str, Any] | None:
        return None if self.evidence_when_done is None else json.loads(self.evidence_when_done)


IS_PROPOSED = Decision.state == DecisionState.PROPOSED


class DecisionFinding(Base):
    """A finding that a decision considered."""

    __tablename__ = "decision_findings"
    decision_id: Mapped[int] = mapped_column(ForeignKey("decisions.id"), primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), primary_key=True, index=True)


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions; None: whatever it is. stage: a full name, or an alias."""

    state: DecisionState | None = None
    stage: str | None = None


@dataclass(frozen=True, slots=True)
class PublicDecision:
    """All that others than the lab's staff learn of a decision, once it is done."""

    id: int
    before: StageState
    to: StageState
    decided_at: datetime
    public_reason: str


@dataclass(frozen=True, slots=True)
class PublicLift:
    """All that others than the lab's staff learn of a lifted hold: not why it was placed."""

    id: int
    name: str  # of the stage, or of the model itself
    decided_at: datetime
    public_reason: str


def listed(session: Session, caller: Caller, wanted: DecisionFilter, part: Slice) -> Page[Decision]:
    """Decisions with those who made them, newest first; for staff alone. Raises NotFound for a stage there is not."""
    caller.require(Permission.DECISION_READ)
    query = _WITH_PEOPLE
    if wanted.stage is not None:
        query = query.where(Decision.stage_id == stages.find(session, caller, wanted.stage).id)
    if wanted.state is not None:
        query = query.where(Decision.state == wanted.state)
    return page(session, query, Decision.id, part, newest_first=True)


def get(session: Session, caller: Caller, decision_id: int) -> Decision:
    """One, with those who made it; for staff alone. Raises NotFound."""
    caller.require(Permission.DECISION_READ)
    decision = session.scalar(_WITH_PEOPLE.where(Decision.id == decision_id))
    if decision is None:
        raise NotFound(f"There is no decision {decision_id}.")
    return decision


def proposed_lifts(session: Session, on: Collection[str]) -> dict[str, Decision]:
    """The lifts of holds on these that wait to be approved, with those who proposed them."""
    waiting = (Decision.kind == DecisionKind.LIFT, Decision.state == DecisionState.PROPOSED)
    return {one.subject: one for one in session.scalars(_WITH_PEOPLE.where(Decision.subject.in_(on), *waiting))}


def considered(session: Session, decision_id: int) -> Sequence[int]:
    """The findings that it names."""
    query = select(DecisionFinding.finding_id).where(DecisionFinding.decision_id == decision_id)
    return session.scalars(query.order_by(DecisionFinding.finding_id)).all()


def considering(session: Session, caller: Caller, finding_id: int) -> Sequence[Decision]:
    """The decisions that name a finding, oldest first; for staff alone."""
    caller.require(Permission.DECISION_READ)
    query = _WITH_PEOPLE.join(DecisionFinding, DecisionFinding.decision_id == Decision.id)
    return session.scalars(query.where(DecisionFinding.finding_id == finding_id).order_by(Decision.id)).all()


def public_lifts(session: Session) -> dict[str, list[PublicLift]]:
    """The holds on models and their stages that were lifted, by model: for everyone who may know of what it was on."""
    lifted = (Decision.kind == DecisionKind.LIFT, Decision.state == DecisionState.DONE)
    query = select(Decision.id, Decision.subject, Decision.done_at, Decision.public_reason).where(*lifted)
    found: defaultdict[str, list[PublicLift]] = defaultdict(list)
    for row in session.execute(query.order_by(Decision.done_at, Decision.id)):
        model, _, stage = row.subject.partition("/")  # of everything and of organizations there is no such model
        found[model].append(PublicLift(row.id, stage or model, row.done_at, row.public_reason))
    return found


def public(session: Session, stage_ids: Collection[int]) -> dict[int, list[PublicDecision]]:
    """The moves that were carried out, by stage, oldest first: for everyone who may know of the stage."""
    query = select(
        Decision.id, Decision.stage_id, Decision.from_state, Decision.to_state, Decision.done_at, Decision.public_reason
    ).where(
        Decision.stage_id.in_(stage_ids), Decision.kind == DecisionKind.MOVE, Decision.state == DecisionState.DONE
    )  # fmt: skip
    found: defaultdict[int, list[PublicDecision]] = defaultdict(list)
    for row in session.execute(query.order_by(Decision.done_at, Decision.id)):
        found[row.stage_id].append(PublicDecision(row.id, row.from_state, row.to_state, row.done_at, row.public_reason))
    return found


_WITH_PEOPLE = select(Decision).options(
    joinedload(Decision.proposer), joinedload(Decision.approver), joinedload(Decision.closer)
)
