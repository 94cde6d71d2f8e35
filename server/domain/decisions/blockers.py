"""What forbids a decision now: a hold, a critical finding, too few reports, or that the stage has moved meanwhile."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from server.domain.release import decisions, findings
from server.domain.release.decisions import Decision
from server.domain.release.findings import FindingState
from server.domain.release.stages import OPENING, Everything, Stage, StageState


def of(session: Session, decision: Decision, stage: Stage) -> list[str]:
    """What forbids a decision, in sentences; nothing for a move that takes access away, but where it begins.

    Whoever places a hold, or reports or triages to critical, changes a row that `execution.locked` has locked: until
    the transaction ends, the answer stays true.
    """
    if stage.state != decision.from_state:
        return [f"{stage.full_name} is {stage.state}, and no longer {decision.from_state}."]
    considered = decisions.considered(session, decision.id)
    return of_move(session, stage, StageState(stage.state), StageState(str(decision.to_state)), considered)


def of_move(
    session: Session, stage: Stage, before: StageState, to: StageState, considered: Collection[int] = ()
) -> list[str]:
    """The same of a move that nobody has proposed yet. considered: the findings that it names."""
    if (before, to) not in OPENING:
        return []
    return [*_holds(session, stage), *_critical(session, stage, considered), *_reports(session, stage, to)]


def _holds(session: Session, stage: Stage) -> list[str]:
    held = ((stage.full_name, stage), (stage.model.name, stage.model), ("everything", session.get_one(Everything, 1)))
    return [f"There is a hold on {on}." for on, row in held if row.held_at is not None]


def _critical(session: Session, stage: Stage, considered: Collection[int]) -> list[str]:
    found = findings.open_critical(session, stage.model_id, considered)
    lacks = {FindingState.OPEN: "has not been triaged", FindingState.CONFIRMED: "is not considered by this decision"}
    return [f"Finding {one.id} on {one.stage.full_name} is critical and {lacks[one.state]}." for one in found]


def _reports(session: Session, stage: Stage, to: StageState) -> list[str]:
    """Asked for where it becomes public: on a planned stage nobody can report yet."""
    if to != StageState.PUBLIC or not stage.reports_at_least:
        return []
    count = len(findings.reports(session, stage.id))
    if count >= stage.reports_at_least:
        return []
    return [f"{stage.full_name} needs at least {stage.reports_at_least} reports by partners, and has {count}."]
