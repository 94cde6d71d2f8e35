"""The facts of the access rule: the rows that it looks at, with their types, and the statements that read them.

For one stage one after the other, for many at once in a fixed number of statements. Nothing is locked here: whoever
decides an issue holds all of them as they are (`log/authority.py`) before it reads them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple, TypeVar

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.orm import Session, aliased

from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.errors import NotFound
from server.domain.identity import authentication
from server.domain.identity.authentication import Standing
from server.domain.paging import Page, Slice, cut
from server.domain.release import stages
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.release.stages import Everything, Model, Stage, StageAlias, StageState
from server.domain.release.tiers import Tier
from server.storage.statements import Statement

Item = TypeVar("Item")


class StageFacts(NamedTuple):
    """A stage with its tier, its agreement, and the holds that cover it. title: its model's, for people."""

    id: int
    name: str
    model_id: int
    model: str
    title: str
    ordinal: int
    parameters: int | None
    state: StageState
    state_since: datetime
    announced: bool
    planned_from: str | None
    planned_until: str | None
    note: str | None
    agreement_id: int | None
    agreement: str | None
    main_checkpoint_id: int | None
    held_at: datetime | None
    model_held_at: datetime | None
    everything_held_at: datetime | None
    rank: int
    tier: str

    @property
    def full_name(self) -> str:
        return f"{self.model}/{self.name}"


class ClearanceFacts(NamedTuple):
    """A clearance of the caller's organization, whether it holds or not."""

    id: int
    model_id: int
    starts_at: datetime
    expires_at: datetime
    approved_at: datetime | None
    revoked_at: datetime | None
    rank: int
    tier: str
    proposed_at: datetime


class VersionFacts(NamedTuple):
    """The version of an agreement that must be signed now, and until when the one before it counts as well."""

    agreement_id: int
    current_version_id: int
    number: int
    sha256: str
    resign_until: datetime | None
    previous_version_id: int | None
    previous_sha256: str | None


class SignatureFacts(NamedTuple):
    """A signature of the caller's organization that the lab has countersigned, of whichever version."""

    id: int
    agreement_id: int
    version_id: int
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that rows 1 to 6 of the table look at."""

    caller: Caller
    standing: Standing | None
    stage: StageFacts | None
    clearances: Sequence[ClearanceFacts]
    agreement: VersionFacts | None
    signatures: Sequence[SignatureFacts]


class Listed(Enum):
    """Which stages a list is of."""

    PUBLIC = "public"
    KNOWN = "known"  # all but plans that are not announced
    ALL = "all"


def gather(session: Session, caller: Caller, stage: StageFacts | None) -> Facts:
    """Read the facts."""
    standing = authentication.standing(session, caller, lock=False)
    if stage is None or caller.organization_id is None or stage.state == StageState.PUBLIC:
        return Facts(caller, standing, stage, (), None, ())
    partner = caller.organization_id
    clearances = _CLEARANCES.all(session, organization_id=partner, model_id=stage.model_id)
    if stage.agreement_id is None:
        return Facts(caller, standing, stage, clearances, None, ())
    agreement = _VERSION.first(session, agreement_id=stage.agreement_id)
    signatures = _SIGNATURES.all(session, organization_id=partner, agreement_id=stage.agreement_id)
    return Facts(caller, standing, stage, clearances, agreement, signatures)


def gather_all(session: Session, caller: Caller, found: Sequence[StageFacts]) -> list[Facts]:
    """Read the same for many stages: as many statements for a thousand as for two."""
    standing, partner = authentication.standing(session, caller, lock=False), caller.organization_id
    if partner is None or all(stage.state == StageState.PUBLIC for stage in found):
        return [Facts(caller, standing, stage, (), None, ()) for stage in found]
    clearances = _by(_ALL_CLEARANCES.all(session, organization_id=partner), lambda row: row.model_id)
    signatures = _by(_ALL_SIGNATURES.all(session, organization_id=partner), lambda row: row.agreement_id)
    versions: dict[int | None, VersionFacts] = {row.agreement_id: row for row in _ALL_VERSIONS.all(session)}
    return [
        Facts(caller, standing, stage, (), None, ())
        if stage.state == StageState.PUBLIC
        else Facts(
            caller, standing, stage, clearances[stage.model_id],
            versions.get(stage.agreement_id), signatures[stage.agreement_id],
        )
        for stage in found
    ]  # fmt: skip


def find_stage(session: Session, full_name: str) -> StageFacts | None:
    """A stage by `model/stage`, or by an alias."""
    try:
        model, name = stages.split(full_name)
    except NotFound:
        return None
    return _ONE_STAGE.first(session, model=model, name=name)


def list_stages(session: Session, part: Slice, listed: Listed) -> Page[StageFacts]:
    """Stages in the order in which they were added."""
    return cut(_STAGES[listed].all(session, after=part.after or 0, limit=part.limit + 1), part)


def stages_of(session: Session, model_id: int) -> list[StageFacts]:
    """Every stage of a model, planned ones too, smallest first."""
    return _OF_MODEL.all(session, model_id=model_id)


def _by(rows: Iterable[Item], key: Callable[[Item], int]) -> dict[int | None, list[Item]]:
    grouped: dict[int | None, list[Item]] = defaultdict(list)
    for row in rows:
        grouped[key(row)].append(row)
    return grouped


_STAGE = (
    select(
        Stage.id, Stage.name, Stage.model_id, Model.name.label("model"), Model.title, Stage.ordinal, Stage.parameters,
        Stage.state, Stage.state_since, Stage.announced, Stage.planned_from,
        Stage.planned_until, Stage.note, Stage.agreement_id,
        Agreement.name.label("agreement"), Stage.main_checkpoint_id, Stage.held_at,
        Model.held_at.label("model_held_at"), Everything.held_at.label("everything_held_at"), Tier.rank,
        Tier.name.label("tier"),
    )
    .join(Model, Model.id == Stage.model_id)
    .join(Tier, Tier.id == Stage.tier_id)
    .join(Everything, Everything.id == 1)
    .outerjoin(Agreement, Agreement.id == Stage.agreement_id)
)  # fmt: skip
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
    StageFacts,
)
_OF_MODEL = Statement(_STAGE.where(Stage.model_id == bindparam("model_id")).order_by(Stage.ordinal), StageFacts)
_PART = _STAGE.where(Stage.id > bindparam("after")).order_by(Stage.id).limit(bindparam("limit", type_=Integer))
_STAGES = {
    Listed.PUBLIC: Statement(_PART.where(Stage.state == StageState.PUBLIC), StageFacts),
    Listed.KNOWN: Statement(_PART.where((Stage.state != StageState.PLANNED) | Stage.announced), StageFacts),
    Listed.ALL: Statement(_PART, StageFacts),
}
_OF_PARTNER = (
    select(
        Clearance.id, Clearance.model_id, Clearance.starts_at, Clearance.expires_at, Clearance.approved_at,
        Clearance.revoked_at, Tier.rank, Tier.name.label("tier"), Clearance.proposed_at,
    )
    .join(Tier, Tier.id == Clearance.tier_id)
    .where(Clearance.organization_id == bindparam("organization_id"))
)  # fmt: skip
_ALL_CLEARANCES = Statement(_OF_PARTNER, ClearanceFacts)
_CLEARANCES = Statement(_OF_PARTNER.where(Clearance.model_id == bindparam("model_id")), ClearanceFacts)
_previous = aliased(AgreementVersion)
_CURRENT = select(
    AgreementVersion.agreement_id, AgreementVersion.id.label("current_version_id"), AgreementVersion.number,
    AgreementVersion.sha256, AgreementVersion.resign_until, _previous.id.label("previous_version_id"),
    _previous.sha256.label("previous_sha256"),
).outerjoin(
    _previous,
    (_previous.agreement_id == AgreementVersion.agreement_id) & (_previous.number == AgreementVersion.number - 1),
)  # fmt: skip
_IN_FORCE = _CURRENT.join(Agreement, Agreement.current_version_id == AgreementVersion.id)
_ALL_VERSIONS = Statement(_IN_FORCE, VersionFacts)
_VERSION = Statement(_IN_FORCE.where(Agreement.id == bindparam("agreement_id")), VersionFacts)
_SIGNED = select(Signature.id, Signature.agreement_id, Signature.version_id, Signature.ended_at).where(
    Signature.organization_id == bindparam("organization_id"), Signature.countersigned_at.is_not(None)
)
_ALL_SIGNATURES = Statement(_SIGNED, SignatureFacts)
_SIGNATURES = Statement(_SIGNED.where(Signature.agreement_id == bindparam("agreement_id")), SignatureFacts)
