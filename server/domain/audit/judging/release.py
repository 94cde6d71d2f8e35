"""Rules for what is released, and for what is then issued: models, stages, checkpoints, downloads."""

from collections.abc import Iterator

from server.domain.audit.judging import proposals
from server.domain.audit.judging.world import JudgedByNothing, Record, Rule, Stage, World
from server.domain.downloads import keyed_downloads, session_downloads
from server.domain.entry_kinds import EntryKind
from server.domain.identity.proposals import ProposalKind
from server.domain.permissions import Permission
from server.domain.release.holds import EVERYTHING
from server.domain.release.stage_editing import FIXED_ONCE_RELEASED
from server.domain.release.stages import MOVES, StageState
from server.storage import store_sessions

SAID = (
    "announced",
    "note",
    "ordinal",
    "planned",
    "reports_at_least",
)  # of a stage, when it is added and when it is edited


def _model_add(world: World, record: Record) -> Iterator[str]:
    if record["stage"] in world.models:
        yield "it adds a model that already exists"
    world.models.add(record["stage"])


def _stage_add(world: World, record: Record) -> Iterator[str]:
    if record["stage"] in world.stages:
        yield "it adds a stage that already exists"
        return
    told = {name: record[name] for name in SAID if name in record}
    world.stages[record["stage"]] = Stage(record["tier"], record.get("agreement"), **told)


def _stage_move(world: World, record: Record) -> Iterator[str]:
    stage, to = world.stages.get(record["stage"]), record["to"]
    if world.two_people:
        yield "it moves a stage without a decision of two people"
    if stage is None or stage.state != record["before"]:
        yield "it moves a stage from a state that it was not in"
    elif to not in MOVES[StageState(stage.state)]:
        yield f"a stage cannot move from {stage.state} to {to}"
    if stage is not None:
        stage.state, stage.was_public = to, stage.was_public or to == StageState.PUBLIC


def _stage_change(world: World, record: Record) -> Iterator[str]:
    stage = world.stages.get(record["stage"])
    if stage is None:
        yield "it is about a stage that was never added"
    elif record["kind"] == EntryKind.STAGE_ALIAS:
        stage.aliases.add(record["alias"])
    else:
        stage.announced = record["announced"]


def _stage_edit(world: World, record: Record) -> Iterator[str]:
    stage, after = world.stages.get(record["stage"]), record["after"]
    if stage is None:
        yield "it is about a stage that was never added"
        return
    if stage.state != StageState.PLANNED and (fixed := sorted(after.keys() & FIXED_ONCE_RELEASED)):
        yield f"it changes the {' and '.join(fixed)} of a stage that is {stage.state}"
    reports = after.get("reports_at_least", stage.reports_at_least)
    if reports < stage.reports_at_least and ProposalKind.REPORTS in world.takes_two:
        says = {"reports_at_least": reports}
        yield from proposals.allowed(world, record, ProposalKind.REPORTS, record["stage"], says)
    for name in after.keys() & {*SAID, *FIXED_ONCE_RELEASED}:
        setattr(stage, name, after[name])


def _checkpoint_publish(world: World, record: Record) -> Iterator[str]:
    stage = world.stages.get(record["stage"])
    if stage is None or stage.state == StageState.WITHDRAWN:
        yield "it publishes to a stage that was never added or that was withdrawn"
    elif ProposalKind.CHECKPOINT in world.takes_two and world.opens(record["stage"]):
        says = {name: record[name] for name in ("checkpoint", "content_sha256", "files", "size_bytes")}
        yield from proposals.allowed(world, record, ProposalKind.CHECKPOINT, record["stage"], says)
    world.set_main(record["stage"], record["checkpoint"])


def _takes_an_admin(world: World, record: Record) -> bool:
    """Of a log from before two people had to agree, only open stages did."""
    if ProposalKind.CHECKPOINT in world.takes_two:
        return world.opens(record["stage"])
    return world.stages[record["stage"]].state != StageState.PLANNED


def _checkpoint_set_main(world: World, record: Record) -> Iterator[str]:
    stage = world.stages.get(record["stage"])
    if stage is None or stage.state == StageState.WITHDRAWN:
        yield "it changes the main checkpoint of a stage that was never added, or was withdrawn"
    elif _takes_an_admin(world, record) and not world.may(record["actor"].get("person"), Permission.STAGE_MANAGE):
        yield "it changes the main checkpoint of an open stage, which takes an admin"
    if world.checkpoints.get(record["checkpoint"]) != record["stage"]:
        yield "it makes main what was not published to that stage"
    world.set_main(record["stage"], record["checkpoint"])


def _download(world: World, record: Record) -> Iterator[str]:
    name, organization = f"{record['model']}/{record['stage']}", record["actor"].get("organization")
    stage = world.stages.get(name)
    if stage is None:
        yield "it issues a stage that was never added"
        return
    if "door" in record:
        yield from _door_faults(record)
    if world.held.keys() & {name, record["model"], EVERYTHING}:
        yield "it issues a stage that is on hold"
    if stage.state == StageState.WITHDRAWN:
        yield "it issues a withdrawn stage"
    if stage.state == StageState.PLANNED and organization != world.lab:
        yield "it issues a stage that was not released"
    if stage.state != StageState.PUBLIC:
        yield from _clearance_faults(world, record, stage, organization)
        yield from _agreement_faults(world, record, stage, organization)


def _door_faults(record: Record) -> Iterator[str]:
    """S3 tools' downloads: with a key of ours one file, with keys of the store's what they may read, and how long."""
    if record["door"] == session_downloads.DOOR:
        longest = store_sessions.SECONDS.stop - 1 + session_downloads.BEGINS_WITHIN_SECONDS
        if not 0 < record["lifetime_seconds"] <= longest or record["actor"].get("token") is None:
            yield "its keys are nobody's, or work longer than any store lets them"
    elif record["door"] != keyed_downloads.DOOR or len(record["files"]) != 1 or not record.get("access_key_id"):
        yield "it is of a door that there is not, or not of one key and one file"


def _clearance_faults(world: World, record: Record, stage: Stage, organization: str | None) -> Iterator[str]:
    clearance = world.clearances.get(record.get("clearance", -1))
    if clearance is None:
        yield "it names no clearance that the log knows"
        return
    if clearance.organization != organization or clearance.model != record["model"]:
        yield "its clearance is for another organization or model"
    if not clearance.approved:
        yield "its clearance was not approved"
    if clearance.revoked:
        yield "its clearance had been revoked"
    if not clearance.starts_at <= record["time"] < clearance.expires_at:
        yield "its clearance was not in force at that time"
    if world.ranks.get(clearance.tier, -1) < world.ranks.get(stage.tier, 0):
        yield "its clearance has a tier that is too low"


def _agreement_faults(world: World, record: Record, stage: Stage, organization: str | None) -> Iterator[str]:
    if stage.agreement is None:
        return
    sha256 = record.get("agreement_sha256")
    counts = {world.current.get(stage.agreement), world.lasts(stage.agreement, record["time"])}
    if sha256 not in counts or not world.signed(record.get("signature"), organization, sha256):
        yield "no signature of the agreement's current version was in force"


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.MODEL_ADD: _model_add,
    EntryKind.STAGE_ADD: _stage_add,
    EntryKind.STAGE_MOVE: _stage_move,
    EntryKind.STAGE_ALIAS: _stage_change,
    EntryKind.STAGE_ANNOUNCE: _stage_change,
    EntryKind.STAGE_EDIT: _stage_edit,
    EntryKind.CHECKPOINT_PUBLISH: _checkpoint_publish,
    EntryKind.CHECKPOINT_SET_MAIN: _checkpoint_set_main,
    EntryKind.DOWNLOAD: _download,
}
