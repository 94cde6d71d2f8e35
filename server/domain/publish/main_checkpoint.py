"""Which checkpoint is a stage's `main`: what publishing will do to it, and how an older one becomes it again."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.publish import checkpoints, opening
from server.domain.publish.checkpoints import Checkpoint
from server.domain.release import stages
from server.domain.release.stages import Stage, StageState
from server.domain.resources import Resources

OPEN_TO = {StageState.PARTNERS: "cleared partners", StageState.PUBLIC: "everyone"}


@dataclass(frozen=True, slots=True)
class MainSet:
    """Which checkpoint a stage's `main` is now, and was before."""

    stage: str
    checkpoint_id: str
    before: str | None


def set_main(use: Resources, caller: Caller, full_name: str, checkpoint_id: str) -> MainSet:
    """Make a published checkpoint its stage's `main`.

    While a stage is planned a publisher may, as with publishing; once that would take two, an admin.
    """
    caller.require(Permission.CHECKPOINT_PUBLISH)
    with use.database.transaction() as session:
        stage = stages.get(session, full_name, lock=True)
        if stage.state == StageState.WITHDRAWN:
            raise NotPossible(f"{stage.full_name} is withdrawn: its `main` can no longer be changed.")
        if opening.takes_two(session, stage):
            caller.require(Permission.STAGE_MANAGE)
        key = checkpoints.find(session, stage.id, stage.main_checkpoint_id, checkpoint_id)
        before = id_of_main(session, stage)
        if key == stage.main_checkpoint_id:
            raise NotPossible(f"{before} is already the `main` of {stage.full_name}.")
        stage.main_checkpoint_id = key
        after = session.get_one(Checkpoint, key).checkpoint_id
        record = {"actor": caller.as_record(), "stage": stage.full_name, "checkpoint": after, "before": before}
        acts.append(session, EntryKind.CHECKPOINT_SET_MAIN, use.clock(), record)
        return MainSet(stage.full_name, after, before)


def id_of_main(session: Session, stage: Stage) -> str | None:
    key = stage.main_checkpoint_id
    return None if key is None else session.get_one(Checkpoint, key).checkpoint_id


def warnings_of_publishing(session: Session, stage: Stage, asked_name: str) -> list[str]:
    """Say, before it happens, what publishing to a stage does beyond adding a checkpoint."""
    warnings = []
    if asked_name != stage.full_name:
        warnings.append(f"{asked_name} is an alias: this publishes to {stage.full_name}")
    if opening.takes_two(session, stage):
        people = OPEN_TO.get(StageState(stage.state))
        why = f"is available to {people}" if people else "is about to open by an approved decision"
        before = id_of_main(session, stage)
        replaced = f", in place of {before}" if before else ""
        warnings.append(
            f"{stage.full_name} {why}: once uploaded, this waits for another person's approval, and then becomes its "
            f"`main`{replaced}"
        )
    return warnings
