"""What renewing takes: of some tiers a report since the last grant, be it that nothing was found."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from server import dates
from server.domain.access.clearances import IN_FORCE, Clearance
from server.domain.errors import NotPossible
from server.domain.release.findings import Finding
from server.domain.release.tiers import Tier

REPORTS_AT_MOST = 100  # that are named


def since(session: Session, organization_id: int, model_id: int, at: datetime) -> Sequence[Finding]:
    """What an organization reported on a model from a moment on, whatever became of it, oldest first.

    What each is worth is for the admins to judge, who see them beside the request.
    """
    mine = Finding.organization_id == organization_id, Finding.model_id == model_id
    query = select(Finding).where(*mine, Finding.reported_at >= at).order_by(Finding.id).limit(REPORTS_AT_MOST)
    return session.scalars(query).all()


def refusal(session: Session, organization_id: int, model_id: int, tier: Tier) -> NotPossible | None:
    """Why this organization cannot ask for a tier on a model once more; None where it can, or never had it."""
    if not tier.report_to_renew:
        return None
    query = (
        select(Clearance)
        .join(Tier, Tier.id == Clearance.tier_id)
        .where(
            Clearance.organization_id == organization_id, Clearance.model_id == model_id, IN_FORCE,
            Tier.rank >= tier.rank,
        )
        .options(joinedload(Clearance.model), joinedload(Clearance.tier))
    )  # fmt: skip
    last = session.scalars(query.order_by(Clearance.id.desc()).limit(1)).first()
    if last is None or since(session, organization_id, model_id, last.granted_at):
        return None
    return NotPossible(
        f"Renewing {tier.name} on {last.model.name} takes a report since {dates.day(last.granted_at)}, and there is "
        "none.",
        next_step="Report a finding, or that you found nothing and what you did. Then ask again.",
    )
