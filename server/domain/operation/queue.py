"""The queue: what waits for an admin, and for which of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Select, bindparam, func, select
from sqlalchemy.orm import Session, joinedload

from server.domain.access import access_requests, clearances, endings, signatures
from server.domain.access.access_requests import AccessRequest
from server.domain.access.clearances import Clearance
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.delivery import alarms
from server.domain.delivery.alarms import Alarm
from server.domain.identity import proposals, role_grants
from server.domain.identity.proposals import Proposal
from server.domain.identity.role_grants import RoleGrant
from server.domain.permissions import Permission
from server.domain.release import decisions, findings
from server.domain.release.agreements import AgreementVersion
from server.domain.release.decisions import Decision
from server.domain.release.findings import Finding
from server.storage.database import Key, Moment
from server.storage.statements import Statement

SHOWN = 50
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Item]):
    """The oldest of those that wait; `more`: there are others behind them."""

    items: Sequence[Item]
    more: bool

    @property
    def count(self) -> str:
        """Honest, and never slow: `50+`."""
        return f"{len(self.items)}{'+' if self.more else ''}"


@dataclass(frozen=True, slots=True)
class Queue:
    """What this admin can decide, what they proposed and another one must, and what ends by itself."""

    requests: Waiting[AccessRequest]
    clearances: Waiting[Clearance]
    decisions: Waiting[Decision]
    signatures: Waiting[Signature]
    alarms: Waiting[Alarm]
    findings: Waiting[Finding]  # the most severe first
    for_another: Waiting[Clearance]
    decisions_for_another: Waiting[Decision]
    roles: Waiting[RoleGrant]
    proposals: Waiting[Proposal]
    ending: Waiting[Clearance]  # the next to end first; nobody must do anything

    @property
    def is_empty(self) -> bool:
        approving = (self.requests, self.clearances, self.decisions, self.signatures, self.roles, self.proposals)
        return not any(part.items for part in (*approving, self.alarms, self.findings))


def waiting(session: Session, caller: Caller, at: datetime) -> Queue:
    """What waits for this caller, oldest first."""
    caller.require(Permission.CLEARANCE_APPROVE)
    own, decided = Clearance.proposed_by == caller.person_id, Decision.proposed_by == caller.person_id
    return Queue(
        requests=_oldest(session, _OPEN_REQUESTS, AccessRequest.id),
        clearances=_oldest(session, _PROPOSED.where(Clearance.expires_at > at, ~own), Clearance.id),
        decisions=_oldest(session, _UNDECIDED.where(~decided), Decision.id),
        signatures=_oldest(session, _UNCOUNTERSIGNED, Signature.id),
        alarms=_oldest(session, _UNRESOLVED, Alarm.id),
        findings=findings_waiting(session, caller),
        for_another=_oldest(session, _PROPOSED.where(Clearance.expires_at > at, own), Clearance.id),
        decisions_for_another=_oldest(session, _UNDECIDED.where(decided), Decision.id),
        roles=_oldest(session, _PROPOSED_ROLES.where(_by_others(caller.person_id)), RoleGrant.id),
        proposals=_oldest(session, _OPEN_PROPOSALS.where(Proposal.proposed_by != caller.person_id), Proposal.id),
        ending=_first(endings.soonest(session, caller, at, at_most=SHOWN + 1)),
    )


def findings_waiting(session: Session, caller: Caller) -> Waiting[Finding]:
    """The findings that nobody has triaged, the most severe first."""
    return _first(findings.waiting(session, caller, SHOWN + 1))


def size(session: Session, caller: Caller, at: datetime) -> int:
    """How much waits for this caller, in one statement; of each kind no more than `SHOWN` + 1 are counted."""
    if not caller.may(Permission.CLEARANCE_APPROVE):
        return 0
    found = _SIZE.first(session, person=caller.person_id, at=at)
    return found.size or 0 if found else 0


def _by_others(person: int | BindParameter[int] | None) -> ColumnElement[bool]:
    """Roles that this person could approve: neither proposed by them nor for them."""
    return (RoleGrant.proposed_by != person) & (RoleGrant.person_id != person)


class _Size(NamedTuple):
    size: int | None


def _size() -> Select[int]:
    """Every page of an admin asks for it, so it is built once."""
    person = bindparam("person", type_=Key)
    mine = clearances.IS_PROPOSED & (Clearance.expires_at > bindparam("at", type_=Moment))
    kinds = (
        (AccessRequest.id, access_requests.IS_OPEN), (Clearance.id, mine & (Clearance.proposed_by != person)),
        (Signature.id, signatures.IS_WAITING), (Alarm.id, alarms.IS_OPEN), (Finding.id, findings.IS_OPEN),
        (RoleGrant.id, role_grants.IS_OPEN & _by_others(person)),
        (Proposal.id, proposals.IS_OPEN & (Proposal.proposed_by != person)),
        (Decision.id, decisions.IS_PROPOSED & (Decision.proposed_by != person)),
    )  # fmt: skip
    parts = [select(key).where(condition).limit(SHOWN + 1).subquery() for key, condition in kinds]
    counts: list[Any] = [select(func.count()).select_from(part).scalar_subquery() for part in parts]
    return select(sum(counts[1:], counts[0]).label("size"))


_SIZE = Statement(_size(), _Size)
_OPEN_PROPOSALS = select(Proposal).where(proposals.IS_OPEN).options(joinedload(Proposal.proposer))
_PROPOSED_ROLES = (
    select(RoleGrant).where(role_grants.IS_OPEN).options(joinedload(RoleGrant.person), joinedload(RoleGrant.proposer))
)
_OPEN_REQUESTS = (
    select(AccessRequest)
    .where(access_requests.IS_OPEN)
    .options(joinedload(AccessRequest.organization), joinedload(AccessRequest.model), joinedload(AccessRequest.tier))
)
_PROPOSED = (
    select(Clearance)
    .where(clearances.IS_PROPOSED)
    .options(
        joinedload(Clearance.organization), joinedload(Clearance.model), joinedload(Clearance.tier),
        joinedload(Clearance.proposer),
    )
)  # fmt: skip
_UNCOUNTERSIGNED = (
    select(Signature)
    .where(signatures.IS_WAITING)
    .options(joinedload(Signature.organization), joinedload(Signature.version).defer(AgreementVersion.text))
)
_UNDECIDED = select(Decision).where(decisions.IS_PROPOSED).options(joinedload(Decision.proposer))
_UNRESOLVED = select(Alarm).where(alarms.IS_OPEN)


def _oldest(session: Session, query: Select[Any], key: Any) -> Waiting[Any]:
    return _first(session.scalars(query.order_by(key).limit(SHOWN + 1)).all())


def _first(rows: Sequence[Item]) -> Waiting[Item]:
    return Waiting(rows[:SHOWN], len(rows) > SHOWN)
