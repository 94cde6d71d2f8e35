"""Releases: the ladder as anybody may see it: what is announced, what was released, and why. Counts, but no names.

Whoever reads it may be nobody at all, so nothing here depends on who asks: see `require_open` for whether they may.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from server.domain.access import cleared
from server.domain.access.facts import Listed, StageFacts, list_stages
from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired
from server.domain.paging import Slice
from server.domain.release import decisions, plans
from server.domain.release.decisions import (
    Decision,
    DecisionFinding,
    DecisionKind,
    DecisionState,
    PublicDecision,
    PublicLift,
)
from server.domain.release.findings import IS_CRITICAL, Finding
from server.domain.release.plans import Plan
from server.domain.release.stages import Stage, StageState
from server.domain.release.tiers import Tier
from server.domain.resources import Resources

STAGES_AT_MOST = 1000
RELEASED = frozenset({StageState.PARTNERS, StageState.PUBLIC})


@dataclass(frozen=True, slots=True)
class Release:
    """One stage as the public sees it.

    held_since: since when nobody can download it, None while it is not on hold. partners: how many organizations are
    cleared for it, while it is released. considered: findings that its decisions rested on. open_critical: findings on
    it that forbid any further move. decisions: those that were carried out, oldest first.
    """

    name: str
    state: StageState
    since: datetime
    plan: Plan
    held_since: datetime | None
    parameters: int | None
    partners: int
    considered: int
    open_critical: int
    decisions: Sequence[PublicDecision]


@dataclass(frozen=True, slots=True)
class Family:
    """A model with what is known of its stages, smallest first."""

    name: str
    title: str
    stages: Sequence[Release]
    lifts: Sequence[PublicLift] = ()


def require_open(use: Resources, caller: Caller) -> None:
    """Raise AuthenticationRequired for a stranger where the settings close the ladder."""
    if caller.organization_id is None and not use.settings.public_releases:
        raise AuthenticationRequired


def read(session: Session, at: datetime) -> list[Family]:
    """Every model of which something is public, in as many statements whatever their number."""
    found = list_stages(session, Slice(STAGES_AT_MOST), Listed.KNOWN).items
    decided = decisions.public(session, [stage.id for stage in found])
    partners, considered, critical = _cleared(session, at), _considered(session), _open_critical(session, at)
    families: dict[tuple[str, str], list[Release]] = defaultdict(list)
    for stage in sorted(found, key=lambda stage: (stage.model_id, stage.ordinal)):
        if _was_told(stage, decided.get(stage.id, ())):
            families[stage.model, stage.title].append(
                Release(
                    name=stage.name, state=stage.state, since=stage.state_since,
                    plan=plans.of(stage.planned_from, stage.planned_until, stage.note),
                    held_since=_held_since(stage), parameters=stage.parameters,
                    partners=_partners(stage, partners), considered=considered.get(stage.id, 0),
                    open_critical=critical.get(stage.id, 0), decisions=decided.get(stage.id, ()),
                )
            )  # fmt: skip
    lifts = decisions.public_lifts(session)
    return [
        Family(name, title, told, _told_lifts(lifts.get(name, ()), name, told))
        for (name, title), told in families.items()
    ]


def _told_lifts(lifts: Sequence[PublicLift], model: str, told: Sequence[Release]) -> list[PublicLift]:
    """Those of the model and of stages that the public knows of."""
    names = {model, *(stage.name for stage in told)}
    return [lift for lift in lifts if lift.name in names]


def _was_told(stage: StageFacts, decided: Sequence[PublicDecision]) -> bool:
    """Whether the public knew of it: a plan that was given up before it was announced stays the lab's own."""
    if stage.state != StageState.WITHDRAWN or stage.announced:
        return True
    return not decided or any(decision.to in RELEASED for decision in decided)


def _held_since(stage: StageFacts) -> datetime | None:
    """Since the first of the holds that cover it."""
    return min(filter(None, (stage.held_at, stage.model_held_at, stage.everything_held_at)), default=None)


def _partners(stage: StageFacts, cleared_for: dict[tuple[int, int], int]) -> int:
    return cleared_for.get((stage.model_id, stage.rank), 0) if stage.state in RELEASED else 0


def _cleared(session: Session, at: datetime) -> dict[tuple[int, int], int]:
    """How many active partners hold a clearance now, by model and by the rank of a stage that is released."""
    ranks = select(Stage.model_id, Tier.rank).join(Tier, Tier.id == Stage.tier_id).where(Stage.state.in_(RELEASED))
    asked = ranks.distinct().subquery()
    found = cleared.organizations(asked.c.model_id, asked.c.rank, at).correlate(asked).subquery()
    count = select(func.count()).select_from(found).scalar_subquery()
    return {(model_id, rank): number for model_id, rank, number in session.execute(select(asked, count))}


def _considered(session: Session) -> dict[int, int]:
    query = (
        select(Decision.stage_id, func.count(DecisionFinding.finding_id.distinct()))
        .join(DecisionFinding, DecisionFinding.decision_id == Decision.id)
        .where(Decision.kind == DecisionKind.MOVE, Decision.state == DecisionState.DONE)
        .group_by(Decision.stage_id)
    )
    return {stage_id: count for stage_id, count in session.execute(query) if stage_id is not None}


def _open_critical(session: Session, at: datetime) -> dict[int, int]:
    """By stage. What is under an embargo is nobody's to know of yet, not even that it is there."""
    told = or_(Finding.embargo_until.is_(None), Finding.embargo_until <= at.date())
    query = select(Finding.stage_id, func.count()).where(IS_CRITICAL, told).group_by(Finding.stage_id)
    return dict(session.execute(query).all())
