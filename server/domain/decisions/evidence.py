"""What a decision rests on, as it is at a moment, kept for good: the ladder, the findings, the counts of its stage."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from server import dates
from server.domain.decisions import audience
from server.domain.delivery import stage_totals
from server.domain.release import findings as reported
from server.domain.release import plans
from server.domain.release.findings import Finding
from server.domain.release.stages import Stage


def gathered(session: Session, stage: Stage, findings: Sequence[int], at: datetime) -> str:
    """As JSON, in the form in which it is kept and hashed. findings: those that the decision names."""
    cleared = audience.counts(session, stage, at)
    found = {
        "at": dates.rfc3339(at),
        "ladder": _ladder(session, stage),
        "findings": _findings(session, findings),
        "organizations_with_access": cleared.signed,
        "organizations_cleared": cleared.signed + cleared.unsigned,
        "reports": len(reported.reports(session, stage.id)),
        "reports_at_least": stage.reports_at_least,
        **asdict(stage_totals.of(session, stage.full_name)),
    }
    return json.dumps(found, ensure_ascii=False, sort_keys=True)


def _ladder(session: Session, stage: Stage) -> list[dict[str, Any]]:
    """The model's stages, smallest first."""
    query = select(Stage).where(Stage.model_id == stage.model_id).order_by(Stage.ordinal)
    return [
        {
            "stage": one.full_name, "state": str(one.state), "since": dates.rfc3339(one.state_since),
            "tier": one.tier.name, "planned": plans.as_text(one.plan.window), "note": one.note,
            "parameters": one.parameters, "held": one.held_at is not None,
        }
        for one in session.scalars(query.options(joinedload(Stage.model), joinedload(Stage.tier)))
    ]  # fmt: skip


def _findings(session: Session, ids: Sequence[int]) -> list[dict[str, Any]]:
    """As they are now. Not their words: those may be under an embargo, and can be erased."""
    query = select(Finding).where(Finding.id.in_(ids)).order_by(Finding.id)
    return [
        {
            "id": one.id, "stage": one.stage.full_name, "kind": str(one.kind), "severity": str(one.severity),
            "state": str(one.state), "organization": one.organization.slug,
        }
        for one in session.scalars(query.options(joinedload(Finding.stage), joinedload(Finding.organization)))
    ]  # fmt: skip
