"""May this caller have this file? One function and one table, for every door alike (DESIGN, section 3).

The facts are read first, held as they are when something is to be issued; then the time, once; then the rows of the
table are gone through in their order, and the first that refuses is the answer. Whatever is unexpected refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from server import traces
from server.domain.access import counting_signatures, quotas
from server.domain.access.facts import (
    ClearanceFacts,
    Facts,
    Listed,
    StageFacts,
    find_stage,
    gather,
    list_stages,
)
from server.domain.callers import Caller
from server.domain.errors import (
    AgreementOutdated,
    AgreementUnsigned,
    AuthenticationRequired,
    ClearanceExpired,
    NoSuchFile,
    NotCleared,
    NotFound,
    Refused,
    StageHeld,
    StageWithdrawn,
)
from server.domain.identity import authentication
from server.domain.identity.organizations import Quota
from server.domain.paging import Page, Slice
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import File, FileList
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.log import authority, condition
from server.logger import redact
from server.text import printable

NAMED_AT_MOST = 200  # characters of a path that is not there


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision rests on, and the generation under which that was read."""

    generation: str
    facts: Facts


@dataclass(frozen=True, slots=True)
class Grant:
    """A yes: at which instant, for what, and on whose authority. basis: None where it was counted, too."""

    at: datetime
    model: str
    stage: str
    checkpoint: FileList
    files: list[File]
    clearance_id: int | None
    tier: str | None
    agreement_sha256: str | None
    signature_id: int | None
    basis: Basis | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Sight:
    """A yes to looking: at which instant, at what, and when the clearance that it rests on ends, if one is needed."""

    at: datetime
    stage: StageFacts
    ends_at: datetime | None


@traces.spanned("decide")
def require(
    session: Session, use: Resources, caller: Caller, stage: str, checkpoint: str, paths: Sequence[str] | None
) -> Grant:
    """Decide an issue: rows 1 to 8, with what they rest on held until the transaction ends. Raises a Refused."""
    quota = _locked_quota(session, caller)  # before the rest is held: whoever changes its limits locks it first, too
    generation = authority.hold(session)
    facts = gather(session, caller, find_stage(session, stage))
    at = use.clock()
    _raise(session, at, facts, refusal_now(use, facts, at))
    listed = file_list(session, use, _existing(facts.stage), checkpoint)
    if quota is None:
        return granted(use, facts, at, listed, paths, Basis(generation, facts))
    grant = granted(use, facts, at, listed, paths)
    quotas.take(session, quota, grant.size_bytes, at)
    return grant


def require_again(
    session: Session, use: Resources, caller: Caller, stage: str, checkpoint: str, paths: Sequence[str] | None
) -> Grant:
    """Decide once more what may have been issued before: rows 1 to 7. Nothing is held, and nothing is counted.

    session: one that reads one state.
    """
    generation = authority.current(session)
    facts = gather(session, caller, find_stage(session, stage))
    at = use.clock()
    _raise(session, at, facts, refusal_now(use, facts, at))
    listed = file_list(session, use, _existing(facts.stage), checkpoint)
    return granted(use, facts, at, listed, paths, Basis(generation, facts))


def require_reading(
    session: Session, use: Resources, caller: Caller, stage: str, checkpoint: str
) -> tuple[str, FileList]:
    """Decide whether the caller may see a checkpoint's files: rows 1 to 7. Returns the stage's full name and them."""
    found = require_stage(session, use, caller, stage)
    return found.full_name, file_list(session, use, found, checkpoint)


def require_stage(session: Session, use: Resources, caller: Caller, stage: str) -> StageFacts:
    """Decide whether the caller may see what a stage holds: rows 1 to 6. Staff see what they look after."""
    return require_sight(session, use, caller, stage).stage


def require_sight(
    session: Session, use: Resources, caller: Caller, stage: str, *, staff_may_look: bool = True
) -> Sight:  # fmt: skip
    """The same, with the end of what the yes rests on. staff_may_look: else staff are asked as for an issue."""
    facts = gather(session, caller, find_stage(session, stage))
    at = use.clock()
    _raise(session, at, facts, refusal_now(use, facts, at, staff_may_look=staff_may_look))
    found = _existing(facts.stage)
    opens = None if found.state == StageState.PUBLIC else clearance_for(facts, found, at)
    return Sight(at, found, None if opens is None else opens.expires_at)


def file_list(session: Session, use: Resources, stage: StageFacts, checkpoint: str) -> FileList:
    """A checkpoint of a stage that the caller may see, by its id or `main`. Raises NoSuchCheckpoint."""
    key = checkpoints.find(session, stage.id, stage.main_checkpoint_id, checkpoint)
    return checkpoints.file_list(session, use.database, key)


def named_files(use: Resources, stage: StageFacts, listed: FileList, paths: Sequence[str] | None) -> list[File]:
    """Row 7: a path that is not in the checkpoint, whatever its form, is not there. Who comes here may see the list."""
    if paths is None:
        return list(listed.files.values())
    if missing := [path for path in paths if path not in listed.files]:
        first, more = redact(printable(missing[0][:NAMED_AT_MOST])), len(missing) - 1
        others = f" and {more} other paths are" if more > 1 else " and another path are" if more else " is"
        page = f"{use.settings.public_url}/stages/{stage.full_name}/{listed.checkpoint_id}"
        raise NoSuchFile(
            f"{first}{others} not in this checkpoint. Nothing was issued.",
            next_step=f"See its files: {page}",
            checkpoint_id=listed.checkpoint_id,
        )
    return [listed.files[path] for path in paths]


def require_known(session: Session, use: Resources, caller: Caller, stage: str) -> StageFacts:
    """Return a stage that exists for this caller by name and plan: the first half of row 3."""
    found = find_stage(session, stage)
    if caller.organization_id is None and not (found is not None and _open_without_sign_in(use, found)):
        raise AuthenticationRequired
    if found is None or (found.state == StageState.PLANNED and not (found.announced or caller.is_staff)):
        raise NotFound("This stage does not exist, or has not been announced yet.")
    return found


def visible_stages(session: Session, use: Resources, caller: Caller, part: Slice) -> Page[StageFacts]:
    """The stages that exist for this caller by name and plan, in the order in which they were added."""
    if caller.organization_id is None:
        if use.settings.public_stages_need_sign_in:
            raise AuthenticationRequired
        return list_stages(session, part, Listed.PUBLIC)
    return list_stages(session, part, Listed.ALL if caller.is_staff else Listed.KNOWN)


def refusal(
    facts: Facts, at: datetime, *, staff_may_look: bool = False, sign_in_for_public: bool = False
) -> Refused | None:
    """Rows 1 to 6: the first that refuses, or None. Pure: the facts and the instant decide."""
    caller, stage = facts.caller, facts.stage
    public = stage is not None and stage.state == StageState.PUBLIC
    if caller.organization_id is None and (sign_in_for_public or not public):  # row 1, for who sent no credentials
        return AuthenticationRequired()
    if fault := authentication.fault(facts.standing, caller, at):  # rows 1 and 2
        return fault
    if stage is None or (stage.state == StageState.PLANNED and not caller.is_staff):  # row 3
        return NotFound("This stage does not exist, or has not been released yet.")
    if staff_may_look and caller.is_staff:
        return None
    if stage.state == StageState.WITHDRAWN:  # row 4
        return StageWithdrawn()
    if is_held(stage):
        return StageHeld()
    if public:  # row 5
        return None
    if clearance_for(facts, stage, at) is None:
        return ClearanceExpired() if _had_one(facts, stage, at) else NotCleared()
    return _agreement_refusal(facts, at)  # row 6


def refusal_now(use: Resources, facts: Facts, at: datetime, *, staff_may_look: bool = False) -> Refused | None:
    """The same, as the settings would have it."""
    closed = use.settings.public_stages_need_sign_in
    return refusal(facts, at, staff_may_look=staff_may_look, sign_in_for_public=closed)


def is_held(stage: StageFacts) -> bool:
    """Whether a hold lies on the stage, its model or everything."""
    return bool(stage.held_at or stage.model_held_at or stage.everything_held_at)


def clearance_for(facts: Facts, stage: StageFacts, at: datetime) -> ClearanceFacts | None:
    """The clearance that opens the stage now: the one that lasts longest. None where none does, or none is needed."""
    holding = [row for row in facts.clearances if _counts(row, stage) and row.starts_at <= at < row.expires_at]
    return max(holding, key=_end, default=None)


def _open_without_sign_in(use: Resources, stage: StageFacts) -> bool:
    return stage.state == StageState.PUBLIC and not use.settings.public_stages_need_sign_in


def _end(clearance: ClearanceFacts) -> datetime:
    return clearance.expires_at


def _had_one(facts: Facts, stage: StageFacts, at: datetime) -> bool:
    return any(_counts(row, stage) and row.expires_at <= at for row in facts.clearances)


def _counts(clearance: ClearanceFacts, stage: StageFacts) -> bool:
    return clearance.approved_at is not None and clearance.revoked_at is None and clearance.rank >= stage.rank


def _agreement_refusal(facts: Facts, at: datetime) -> Refused | None:
    if _existing(facts.stage).agreement_id is None:
        return None
    if facts.agreement is None:  # demanded and not found: nobody can have signed it
        return AgreementUnsigned()
    if counting_signatures.counting(facts.agreement, facts.signatures, at) is not None:
        return None
    return AgreementOutdated() if any(row.ended_at is None for row in facts.signatures) else AgreementUnsigned()


def granted(
    use: Resources,
    facts: Facts,
    at: datetime,
    listed: FileList,
    paths: Sequence[str] | None,
    basis: Basis | None = None,
) -> Grant:
    """What a yes gives, on whose authority. Raises NoSuchFile."""
    stage = _existing(facts.stage)
    clearance = None if stage.state == StageState.PUBLIC else clearance_for(facts, stage, at)
    agreement = facts.agreement
    signature = None if agreement is None else counting_signatures.counting(agreement, facts.signatures, at)
    return Grant(
        at=at,
        model=stage.model,
        stage=stage.name,
        checkpoint=listed,
        files=named_files(use, stage, listed, paths),
        clearance_id=None if clearance is None else clearance.id,
        tier=None if clearance is None else clearance.tier,
        agreement_sha256=None if agreement is None else counting_signatures.signed_sha256(agreement, signature),
        signature_id=None if signature is None else signature.id,
        basis=basis,
    )


def _existing(stage: StageFacts | None) -> StageFacts:
    if stage is None:
        raise NotFound
    return stage


def _locked_quota(session: Session, caller: Caller) -> Quota | None:
    return None if caller.organization_id is None else quotas.lock(session, caller.organization_id)


def _raise(session: Session, at: datetime, facts: Facts, refused: Refused | None) -> None:
    """A clearance may only look ended, or not begun, to a clock that is behind: then nobody can say. LogUnsound."""
    if refused is not None:
        condition.require_clock(session, at)
        if facts.stage is not None and not isinstance(refused, AuthenticationRequired | NotFound):
            refused.stage = facts.stage.full_name
        raise refused
