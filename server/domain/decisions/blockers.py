"""What forbids a decision now: a hold, a critical finding, too few reports, or that the stage has moved meanwhile."""

from sqlalchemy.orm import Session

from server.domain.release.decisions import Decision
from server.domain.release.stages import OPENING, Everything, Stage, StageState


def of(session: Session, decision: Decision, stage: Stage) -> list[str]:
    """What forbids a decision, in sentences; nothing for a move that takes access away, but where it begins."""
    if stage.state != decision.from_state:
        return [f"{stage.full_name} is {stage.state}, and no longer {decision.from_state}."]
    return of_move(session, stage, StageState(stage.state), StageState(str(decision.to_state)))


def of_move(session: Session, stage: Stage, before: StageState, to: StageState) -> list[str]:
    """The same of a move that nobody has proposed yet."""
    if (before, to) not in OPENING:
        return []
    held = ((stage.full_name, stage), (stage.model.name, stage.model), ("everything", session.get_one(Everything, 1)))
    return [f"A hold lies on {on}." for on, row in held if row.held_at is not None]
