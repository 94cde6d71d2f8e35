"""The release ladder as one caller sees it: each model's stages in order, what is open, why not, and the one next step.

It decides nothing: the refusals are those of `access.py`; here stands what would end them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from server.domain.access import rule, signatures
from server.domain.access.access_requests import AccessRequest
from server.domain.access.signatures import Signature, Standing
from server.domain.callers import Caller
from server.domain.errors import AgreementOutdated, AgreementUnsigned, ClearanceExpired, NotCleared, Refused
from server.domain.paging import Slice
from server.domain.permissions import Role
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.release.stages import Model, StageState
from server.domain.resources import Resources
from server.storage.database import AnyRow

ENDS_SOON = timedelta(days=30)
STAGES_AT_MOST = 1000  # on one page


class NextStep(StrEnum):
    """What would end a refusal."""

    REQUEST = "request"  # access, for the first time
    REQUEST_AGAIN = "request again"
    AWAIT_DECISION = "await decision"  # a request is open
    SIGN = "sign"
    SIGN_AGAIN = "sign again"  # a new version
    ASK_OWNER = "ask owner"  # only an owner signs
    AWAIT_COUNTERSIGNATURE = "await countersignature"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage as the caller sees it. shown: whether more than name, state and plan is theirs to know.

    refused: why it is not open; None for yes. version: of the agreement that must be signed. ends_at: of the access.
    """

    stage: AnyRow
    shown: bool
    held: bool
    refused: Refused | None
    next_step: NextStep | None
    version: int | None
    request_id: int | None
    ends_at: datetime | None

    @property
    def full_name(self) -> str:
        return f"{self.stage.model}/{self.stage.name}"

    def ends_soon(self, at: datetime) -> bool:
        return self.ends_at is not None and self.ends_at - at < ENDS_SOON


@dataclass(frozen=True, slots=True)
class Ladder:
    """One model and its steps, smallest first."""

    model: str
    title: str
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class _Known:
    """What is asked of the database once for all stages."""

    current: dict[int, AgreementVersion]
    signed: dict[int, list[Signature]]
    open_requests: list[AnyRow]


def ladders(session: Session, use: Resources, caller: Caller) -> list[Ladder]:
    """Every model that the caller may know of. Raises AuthenticationRequired where nothing is public."""
    at = use.clock()
    rows = rule.visible_stages(session, use, caller, Slice(STAGES_AT_MOST)).items
    known = _known(session, caller, rows)
    by_model: dict[str, list[Step]] = {}
    for row in sorted(rows, key=lambda row: (row.model_id, row.ordinal)):
        by_model.setdefault(row.model, []).append(_step(session, use, caller, row, known, at))
    titles = dict(session.execute(select(Model.name, Model.title).where(Model.name.in_(by_model))).all())
    return [Ladder(model, titles[model], steps) for model, steps in by_model.items()]


def step(session: Session, use: Resources, caller: Caller, stage: str) -> Step:
    """One stage, by its name or an alias. Raises NotFound, AuthenticationRequired."""
    row = rule.require_known(session, use, caller, stage)
    return _step(session, use, caller, row, _known(session, caller, [row]), use.clock())


def _step(session: Session, use: Resources, caller: Caller, row: AnyRow, known: _Known, at: datetime) -> Step:
    refused = rule.refusal_for(session, use, caller, row, at)
    next_step, request_id = _next_step(caller, row, known, refused)
    version = known.current.get(row.agreement_id)
    return Step(
        stage=row,
        shown=caller.is_staff or row.state != StageState.PLANNED,
        held=bool(row.held_at or row.model_held_at or row.everything_held_at),
        refused=refused,
        next_step=next_step,
        version=None if version is None else version.number,
        request_id=request_id,
        ends_at=rule.open_until(session, caller, row, at) if refused is None else None,
    )


def _next_step(
    caller: Caller, row: AnyRow, known: _Known, refused: Refused | None
) -> tuple[NextStep | None, int | None]:
    if caller.is_staff:
        return None, None
    if isinstance(refused, NotCleared | ClearanceExpired):
        asked = next((r.id for r in known.open_requests if r.model_id == row.model_id), None)
        if asked is not None:
            return NextStep.AWAIT_DECISION, asked
        return NextStep.REQUEST if isinstance(refused, NotCleared) else NextStep.REQUEST_AGAIN, None
    if isinstance(refused, AgreementUnsigned | AgreementOutdated) and row.agreement_id in known.current:
        standing, _ = signatures.standing(known.current[row.agreement_id], known.signed.get(row.agreement_id, []))
        if standing is Standing.WAITING:
            return NextStep.AWAIT_COUNTERSIGNATURE, None
        if caller.role is not Role.OWNER:
            return NextStep.ASK_OWNER, None
        return NextStep.SIGN_AGAIN if isinstance(refused, AgreementOutdated) else NextStep.SIGN, None
    return None, None


def _known(session: Session, caller: Caller, rows: Iterable[AnyRow]) -> _Known:
    if caller.organization_id is None or caller.is_staff:
        return _Known({}, {}, [])
    ids = {row.agreement_id for row in rows if row.agreement_id is not None}
    signed: dict[int, list[Signature]] = {}
    for signature in signatures.of_agreements(session, caller, sorted(ids)):
        signed.setdefault(signature.agreement_id, []).append(signature)
    asked = select(AccessRequest.id, AccessRequest.model_id).where(
        AccessRequest.organization_id == caller.organization_id,
        AccessRequest.decided_at.is_(None),
        AccessRequest.withdrawn_at.is_(None),
    )
    current = select(Agreement.id, AgreementVersion).join(
        AgreementVersion, AgreementVersion.id == Agreement.current_version_id
    )
    versions = session.execute(current.where(Agreement.id.in_(ids)).options(defer(AgreementVersion.text)))
    return _Known(dict(versions.all()), signed, list(session.execute(asked)))
