"""Checklists: what stands between a partner and a stage: every task, whose it is, and since when; made in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain.access import rule, signatures
from server.domain.access.access_requests import AccessRequest
from server.domain.access.facts import ClearanceFacts, Facts, StageFacts
from server.domain.access.signatures import Signature
from server.domain.callers import Caller
from server.domain.release.tiers import Tier
from server.domain.resources import Resources


class Task(StrEnum):
    """What has to be done, in this order; signing need not wait for the lab's decision."""

    REQUEST = "request"
    FIRST_APPROVAL = "first approval"
    SECOND_APPROVAL = "second approval"
    SIGNATURE = "signature"
    COUNTERSIGNATURE = "countersignature"


class Whose(StrEnum):
    """Who does it."""

    ORGANIZATION = "organization"  # any of its people
    OWNER = "owner"
    LAB = "lab"


class Progress(StrEnum):
    """How far a task is."""

    DONE = "done"
    READY = "ready"  # somebody can do it now
    LATER = "later"  # another task comes first


@dataclass(frozen=True, slots=True)
class Item:
    """One task. since: when it was done, or since when it can be. number: of the request or the version."""

    task: Task
    whose: Whose
    progress: Progress
    since: datetime | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The newest request for a model."""

    id: int
    rank: int
    state: str
    asked_at: datetime
    decided_at: datetime | None
    declined_because: str | None

    def is_open_for(self, stage: StageFacts) -> bool:
        """Whether a yes would open the stage."""
        return self.state == "open" and self.rank >= stage.rank

    def was_declined_for(self, stage: StageFacts) -> bool:
        return self.state == "declined" and self.rank >= stage.rank


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What a partner has begun: its newest requests by model, what it signed by version, and who must approve twice.

    two_from: the rank from which a clearance takes two admins; None: each does.
    """

    requests: dict[int, Asked]
    signed: dict[int, datetime]
    two_from: int | None

    def asked(self, stage: StageFacts) -> Asked | None:
        found = self.requests.get(stage.model_id)
        return found if found is not None and found.is_open_for(stage) else None

    def declined(self, stage: StageFacts) -> Asked | None:
        found = self.requests.get(stage.model_id)
        return found if found is not None and found.was_declined_for(stage) else None


def under_way(session: Session, use: Resources, caller: Caller) -> UnderWay:
    """Of the caller's organization; of strangers and the lab nothing."""
    if caller.organization_id is None or caller.is_staff:
        return UnderWay({}, {}, None)
    own = AccessRequest.organization_id == caller.organization_id
    newest = select(func.max(AccessRequest.id)).where(own).group_by(AccessRequest.model_id)
    asked = session.execute(
        select(AccessRequest, Tier.rank)
        .join(Tier, Tier.id == AccessRequest.tier_id)
        .where(AccessRequest.id.in_(newest))
    )
    waiting = select(Signature.version_id, Signature.signed_on).where(
        Signature.organization_id == caller.organization_id, signatures.IS_WAITING
    )
    return UnderWay(
        {one.model_id: _asked(one, rank) for one, rank in asked},
        {version: datetime.combine(day, time(), UTC) for version, day in session.execute(waiting)},
        session.scalar(select(Tier.rank).where(Tier.name == use.settings.second_person_tier)),
    )


def proposed_for(facts: Facts, stage: StageFacts, at: datetime) -> ClearanceFacts | None:
    """A clearance that one admin proposed and that would open the stage."""
    waiting = (row for row in facts.clearances if row.approved_at is None and row.revoked_at is None)
    return next((row for row in waiting if row.rank >= stage.rank and at < row.expires_at), None)


def of(stage: StageFacts, facts: Facts, begun: UnderWay, at: datetime) -> Sequence[Item]:
    """Every task of a stage that partners are cleared for; the stage is open when all are done."""
    cleared, proposed = rule.clearance_for(facts, stage, at), proposed_for(facts, stage, at)
    asked, granted = begun.asked(stage), cleared or proposed
    asked_at, number = (None, None) if asked is None else (asked.asked_at, asked.id)
    rank = granted.rank if granted else asked.rank if asked else stage.rank
    items = [
        _item(Task.REQUEST, Whose.ORGANIZATION, bool(granted or asked), True, asked_at, number),
        _item(Task.FIRST_APPROVAL, Whose.LAB, bool(granted), bool(asked), granted.proposed_at if granted else asked_at),
    ]  # fmt: skip
    if begun.two_from is None or rank >= begun.two_from:
        since = cleared.approved_at if cleared else proposed and proposed.proposed_at
        items.append(_item(Task.SECOND_APPROVAL, Whose.LAB, bool(cleared), bool(proposed), since))
    if facts.agreement is not None:
        version = facts.agreement.current_version_id
        in_force = any(row.version_id == version and row.ended_at is None for row in facts.signatures)
        signed_at = begun.signed.get(version)
        signed = in_force or signed_at is not None
        items.append(_item(Task.SIGNATURE, Whose.OWNER, signed, True, signed_at, facts.agreement.number))
        items.append(_item(Task.COUNTERSIGNATURE, Whose.LAB, in_force, signed, signed_at))
    return tuple(items)


def _item(
    task: Task, whose: Whose, is_done: bool, is_ready: bool, since: datetime | None, number: int | None = None
) -> Item:
    progress = Progress.DONE if is_done else Progress.READY if is_ready else Progress.LATER
    return Item(task, whose, progress, None if progress is Progress.LATER else since, number)


def _asked(one: AccessRequest, rank: int) -> Asked:
    return Asked(one.id, rank, one.state, one.asked_at, one.decided_at, one.declined_because)
