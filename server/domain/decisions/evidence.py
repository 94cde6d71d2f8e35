"""What a decision rests on, as it is at a moment, kept for good: the ladder, the findings, the counts of its stage."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain.release import plans
from server.domain.release.stages import Stage


def gathered(session: Session, stage: Stage, findings: Sequence[int], at: datetime) -> str:
    """As JSON, in the form in which it is kept and hashed. findings: those that the decision names."""
    found = {"at": dates.rfc3339(at), "ladder": _ladder(session, stage)}
    del findings
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
        for one in session.scalars(query)
    ]  # fmt: skip
