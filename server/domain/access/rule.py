"""May this caller have this file? One function and one table, for every door alike (DESIGN, section 3).

The facts are read first, under locks when something is to be issued; then the time, once; then the rows of the table
are gone through in their order, and the first that refuses is the answer. Whatever is unexpected refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server.domain.access import quotas
from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.errors import (
    AgreementOutdated,
    AgreementUnsigned,
    AuthenticationRequired,
    ClearanceExpired,
    NotCleared,
    NotFound,
    Refused,
    StageHeld,
    StageWithdrawn,
)
from server.domain.identity import authentication
from server.domain.identity.organizations import Quota
from server.domain.paging import Page, Slice, page
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import File, FileList
from server.domain.release import stages
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.release.stages import Everything, Model, Stage, StageAlias, StageState
from server.domain.release.tiers import Tier
from server.domain.resources import Resources
from server.storage.database import AnyRow
from server.storage.statements import Statement


@dataclass(frozen=True, slots=True)
class Facts:
    """All that rows 1 to 6 of the table look at; rows of the database, as they were read."""

    caller: Caller
    standing: AnyRow | None
    stage: AnyRow | None
    clearances: Sequence[AnyRow]
    agreement: AnyRow | None
    signatures: Sequence[AnyRow]


@dataclass(frozen=True, slots=True)
class Grant:
    """A yes: at which instant, for what, and on whose authority."""

    at: datetime
    model: str
    stage: str
    checkpoint: FileList
    files: list[File]
    clearance_id: int | None
    tier: str | None
    agreement_sha256: str | None
    signature_id: int | None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def require(
    session: Session, use: Resources, caller: Caller, stage: str, checkpoint: str, paths: Sequence[str] | None
) -> Grant:
    """Decide an issue: rows 1 to 8, with what they rest on locked until the transaction ends. Raises a Refused."""
    facts = gather(session, caller, _stage(session, stage, lock=True), lock=True)
    quota = _locked_quota(session, caller)
    at = use.clock()
    _raise(_refusal_now(use, facts, at))
    grant = _grant(session, use, facts, at, checkpoint, paths)
    if quota is not None:
        quotas.take(session, quota, grant.size_bytes, at)
    return grant


def require_reading(
    session: Session, use: Resources, caller: Caller, stage: str, checkpoint: str
) -> tuple[str, FileList]:
    """Decide whether the caller may see a checkpoint's files: rows 1 to 7. Returns the stage's full name and them."""
    found = require_stage(session, use, caller, stage)
    return f"{found.model}/{found.name}", _file_list(session, use, found, checkpoint)


def require_stage(session: Session, use: Resources, caller: Caller, stage: str) -> AnyRow:
    """Decide whether the caller may see what a stage holds: rows 1 to 6. Staff see what they look after."""
    found = _stage(session, stage, lock=False)
    facts = gather(session, caller, found, lock=False)
    _raise(_refusal_now(use, facts, use.clock(), staff_may_look=True))
    return _existing(found)


def require_known(session: Session, use: Resources, caller: Caller, stage: str) -> AnyRow:
    """Return a stage that exists for this caller by name and plan: the first half of row 3."""
    found = _stage(session, stage, lock=False)
    if caller.organization_id is None and not (found is not None and _open_without_sign_in(use, found)):
        raise AuthenticationRequired
    if found is None or (found.state == StageState.PLANNED and not (found.announced or caller.is_staff)):
        raise NotFound("This stage does not exist, or has not been announced yet.")
    return found


def refusal_for(session: Session, use: Resources, caller: Caller, stage: AnyRow, at: datetime) -> Refused | None:
    """What would be answered if the caller asked to download this stage now; None for yes."""
    return _refusal_now(use, gather(session, caller, stage, lock=False), at)


def open_until(session: Session, caller: Caller, stage: AnyRow, at: datetime) -> datetime | None:
    """When the clearance that opens this stage now ends; None where none does, or none is needed."""
    clearance = _clearance(gather(session, caller, stage, lock=False), stage, at)
    return None if clearance is None else clearance.expires_at


def visible_stages(session: Session, use: Resources, caller: Caller, part: Slice) -> Page[AnyRow]:
    """The stages that exist for this caller by name and plan, in the order in which they were added."""
    query = _STAGE
    if caller.organization_id is None:
        if use.settings.public_stages_need_sign_in:
            raise AuthenticationRequired
        query = query.where(Stage.state == StageState.PUBLIC)
    elif not caller.is_staff:
        query = query.where((Stage.state != StageState.PLANNED) | Stage.announced)
    return page(session, query, Stage.id, part, scalars=False)


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
    if stage.held_at or stage.model_held_at or stage.everything_held_at:
        return StageHeld()
    if public:  # row 5
        return None
    if _clearance(facts, stage, at) is None:
        return ClearanceExpired() if _had_one(facts, stage, at) else NotCleared()
    return _agreement_refusal(facts)  # row 6


def gather(session: Session, caller: Caller, stage: AnyRow | None, *, lock: bool) -> Facts:
    """Read the facts; `lock` keeps each row from changing until the transaction ends."""
    standing = authentication.standing(session, caller, lock=lock)
    if stage is None or caller.organization_id is None or stage.state == StageState.PUBLIC:
        return Facts(caller, standing, stage, (), None, ())
    partner = caller.organization_id
    clearances = _CLEARANCES.all(session, lock=lock, organization_id=partner, model_id=stage.model_id)
    if stage.agreement_id is None:
        return Facts(caller, standing, stage, clearances, None, ())
    agreement = _agreement(session, stage.agreement_id, lock=lock)
    signatures = _SIGNATURES.all(session, lock=lock, organization_id=partner, agreement_id=stage.agreement_id)
    return Facts(caller, standing, stage, clearances, agreement, signatures)


def _agreement(session: Session, agreement_id: int, *, lock: bool) -> AnyRow | None:
    """The agreement's current version, read after the lock: in one statement with it, PostgreSQL would join the old one
    and drop the row when a new version is published meanwhile."""
    locked = _AGREEMENT.first(session, lock=lock, agreement_id=agreement_id)
    return None if locked is None else _VERSION.first(session, version_id=locked.current_version_id)


def _refusal_now(use: Resources, facts: Facts, at: datetime, *, staff_may_look: bool = False) -> Refused | None:
    closed = use.settings.public_stages_need_sign_in
    return refusal(facts, at, staff_may_look=staff_may_look, sign_in_for_public=closed)


def _open_without_sign_in(use: Resources, stage: AnyRow) -> bool:
    return stage.state == StageState.PUBLIC and not use.settings.public_stages_need_sign_in


def _stage(session: Session, full_name: str, *, lock: bool) -> AnyRow | None:
    try:
        model, name = stages.split(full_name)
    except NotFound:
        return None
    found: AnyRow | None = _ONE_STAGE.first(session, lock=lock, model=model, name=name)
    return found


def _clearance(facts: Facts, stage: AnyRow, at: datetime) -> AnyRow | None:
    """The clearance that opens the stage now: the one that lasts longest."""
    holding = [row for row in facts.clearances if _counts(row, stage) and row.starts_at <= at < row.expires_at]
    return max(holding, key=lambda row: row.expires_at, default=None)


def _had_one(facts: Facts, stage: AnyRow, at: datetime) -> bool:
    return any(_counts(row, stage) and row.expires_at <= at for row in facts.clearances)


def _counts(clearance: AnyRow, stage: AnyRow) -> bool:
    return bool(clearance.approved_at is not None and clearance.revoked_at is None and clearance.rank >= stage.rank)


def _agreement_refusal(facts: Facts) -> Refused | None:
    if _existing(facts.stage).agreement_id is None:
        return None
    if facts.agreement is None:  # demanded and not found: nobody can have signed it
        return AgreementUnsigned()
    if _signature(facts, facts.agreement) is not None:
        return None
    return AgreementOutdated() if any(row.ended_at is None for row in facts.signatures) else AgreementUnsigned()


def _signature(facts: Facts, agreement: AnyRow) -> AnyRow | None:
    """The signature in force of the version that must be signed now."""
    signed = (row for row in facts.signatures if row.version_id == agreement.current_version_id)
    return next((row for row in signed if row.ended_at is None), None)


def _grant(
    session: Session, use: Resources, facts: Facts, at: datetime, checkpoint: str, paths: Sequence[str] | None
) -> Grant:
    stage = _existing(facts.stage)
    listed = _file_list(session, use, stage, checkpoint)
    clearance = None if stage.state == StageState.PUBLIC else _clearance(facts, stage, at)
    signature = None if facts.agreement is None else _signature(facts, facts.agreement)
    return Grant(
        at=at,
        model=stage.model,
        stage=stage.name,
        checkpoint=listed,
        files=_files(listed, paths),
        clearance_id=None if clearance is None else clearance.id,
        tier=None if clearance is None else clearance.tier,
        agreement_sha256=None if facts.agreement is None else facts.agreement.sha256,
        signature_id=None if signature is None else signature.id,
    )


def _existing(stage: AnyRow | None) -> AnyRow:
    if stage is None:
        raise NotFound
    return stage


def _file_list(session: Session, use: Resources, stage: AnyRow, checkpoint: str) -> FileList:
    key = checkpoints.find(session, stage.id, stage.main_checkpoint_id, checkpoint)
    return checkpoints.file_list(session, use.database, key)


def _files(listed: FileList, paths: Sequence[str] | None) -> list[File]:
    """Row 7: a path that is not in the checkpoint, whatever its form, is simply not there."""
    if paths is None:
        return list(listed.files.values())
    try:
        return [listed.files[path] for path in paths]
    except KeyError:
        raise NotFound("One of the paths is not in this checkpoint. Nothing was issued.") from None


def _locked_quota(session: Session, caller: Caller) -> Quota | None:
    return None if caller.organization_id is None else quotas.lock(session, caller.organization_id)


def _raise(refused: Refused | None) -> None:
    if refused is not None:
        raise refused


_STAGE = (
    select(
        Stage.id,
        Stage.name,
        Stage.model_id,
        Model.name.label("model"),
        Stage.ordinal,
        Stage.parameters,
        Stage.state,
        Stage.state_since,
        Stage.announced,
        Stage.plan,
        Stage.agreement_id,
        Agreement.name.label("agreement"),
        Stage.main_checkpoint_id,
        Stage.held_at,
        Model.held_at.label("model_held_at"),
        Everything.held_at.label("everything_held_at"),
        Tier.rank,
        Tier.name.label("tier"),
    )
    .join(Model, Model.id == Stage.model_id)
    .join(Tier, Tier.id == Stage.tier_id)
    .join(Everything, Everything.id == 1)
    .outerjoin(Agreement, Agreement.id == Stage.agreement_id)
)
_ONE_STAGE = Statement(
    _STAGE.where(
        Model.name == bindparam("model"),
        (Stage.name == bindparam("name"))
        | (
            Stage.id
            == select(StageAlias.stage_id)
            .where(StageAlias.model_id == Model.id, StageAlias.name == bindparam("name"))
            .scalar_subquery()
        ),
    ),
    share=[Stage, Model, Everything],
)
_CLEARANCES = Statement(
    select(
        Clearance.id, Clearance.starts_at, Clearance.expires_at, Clearance.approved_at, Clearance.revoked_at,
        Tier.rank, Tier.name.label("tier"),
    )
    .join(Tier, Tier.id == Clearance.tier_id)
    .where(Clearance.organization_id == bindparam("organization_id"), Clearance.model_id == bindparam("model_id")),
    share=[Clearance],
)  # fmt: skip
_AGREEMENT = Statement(
    select(Agreement.current_version_id).where(Agreement.id == bindparam("agreement_id")), share=[Agreement]
)
_VERSION = Statement(
    select(AgreementVersion.id.label("current_version_id"), AgreementVersion.sha256).where(
        AgreementVersion.id == bindparam("version_id")
    )
)
_SIGNATURES = Statement(
    select(Signature.id, Signature.version_id, Signature.ended_at).where(
        Signature.organization_id == bindparam("organization_id"),
        Signature.agreement_id == bindparam("agreement_id"),
        Signature.countersigned_at.is_not(None),
    ),
    share=[Signature],
)
