"""Opening: how an uploaded checkpoint becomes a stage's `main`, seen by everybody who may have the stage.

While the stage is planned, its publisher does it. Once it is open, or two people have agreed that it will be, somebody
would get other weights than those people looked at, so it is proposed, and another person lets it happen.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.identity import proposals, second_person
from server.domain.identity.proposals import Proposal, ProposalKind
from server.domain.mail import notices
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import Checkpoint
from server.domain.release import stages
from server.domain.release.decisions import Decision, DecisionState
from server.domain.release.stages import Stage, StageState
from server.domain.resources import Resources

OPEN = (StageState.PARTNERS, StageState.PUBLIC)


def open_stage(session: Session, name: str, *, lock: bool = False) -> Stage:
    """A stage that can be published to. Raises NotFound, NotPossible."""
    stage = stages.get(session, name, lock=lock)
    if stage.state == StageState.WITHDRAWN:
        raise NotPossible(f"{name} is withdrawn: nothing more can be published to it.")
    return stage


def takes_two(session: Session, stage: Stage) -> bool:
    """Whether another `main` needs another person: the stage is open, or the decision that opens it is approved."""
    if stage.state != StageState.PLANNED:
        return True
    approved = Decision.stage_id == stage.id, Decision.state == DecisionState.APPROVED, Decision.to_state.in_(OPEN)
    return session.scalars(select(Decision.id).where(*approved).limit(1)).first() is not None


def open_or_propose(
    session: Session, use: Resources, caller: Caller, stage: Stage, checkpoint: Checkpoint, at: datetime
) -> Proposal | None:
    """Make it `main`, or propose that where it takes two; as the transaction's last act. Both rows are locked."""
    checkpoint.published_by = str(caller.person)
    if not takes_two(session, stage):
        _open(session, caller, stage, checkpoint, at)
        return None
    says = _told(session, checkpoint)
    proposal = proposals.create(session, caller, ProposalKind.CHECKPOINT, stage.full_name, says, at)
    notices.proposal_waits(session, use, proposal, at)
    return proposal


def carry_out(session: Session, use: Resources, caller: Caller, proposal: Proposal) -> None:
    """Make `main` what was proposed and approved. Raises NotPossible."""
    stage = open_stage(session, proposal.subject, lock=True)
    found = select(Checkpoint).where(Checkpoint.checkpoint_id == proposal.says["checkpoint"])
    checkpoint = session.scalars(found.with_for_update()).one()
    _open(session, caller, stage, checkpoint, use.clock(), proposal.id)


def waiting(session: Session, stage: Stage, checkpoint_id: str) -> Proposal | None:
    """The proposal by which this very checkpoint of a stage waits."""
    proposal = proposals.open_of(session, ProposalKind.CHECKPOINT, stage.full_name)
    return proposal if proposal is not None and proposal.says["checkpoint"] == checkpoint_id else None


def require_none_waits(session: Session, stage: Stage, checkpoint_id: str | None) -> None:
    """Raise NotPossible while a checkpoint of this stage waits; checkpoint_id: of the one that is being published."""
    if checkpoint_id is not None and (proposal := waiting(session, stage, checkpoint_id)) is not None:
        raise NotPossible(
            f"These files already wait for approval as checkpoint {checkpoint_id} of {stage.full_name}.",
            next_step=next_step(session, proposal),
        )
    proposals.require_none_open(session, ProposalKind.CHECKPOINT, stage.full_name)


def next_step(session: Session, proposal: Proposal) -> str:
    """Who has to do what for it to become visible."""
    who: Sequence[str] = [admin.email for admin in second_person.able(session, proposal.proposed_by)]
    return f"{' or '.join(who) or 'Another admin'} must approve it: `weightgate-server proposal approve {proposal.id}`."


def _open(
    session: Session, caller: Caller, stage: Stage, checkpoint: Checkpoint, at: datetime, proposal: int | None = None
) -> None:
    if checkpoint.published_at is not None:
        raise NotPossible(f"Checkpoint {checkpoint.checkpoint_id} is already published.")
    checkpoint.published_at, stage.main_checkpoint_id = at, checkpoint.id
    record = {"actor": caller.as_record(), "stage": stage.full_name, **_told(session, checkpoint)}
    if proposal is not None:
        record["proposal"] = proposal
    acts.append(session, EntryKind.CHECKPOINT_PUBLISH, at, record)


def _told(session: Session, checkpoint: Checkpoint) -> dict[str, object]:
    files, size_bytes = checkpoints.totals(session, checkpoint.id)
    return {
        "checkpoint": checkpoint.checkpoint_id, "content_sha256": checkpoint.content_sha256, "files": files,
        "size_bytes": size_bytes,
    }  # fmt: skip
