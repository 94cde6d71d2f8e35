"""Cleared: which organizations hold a clearance for stages of a rank, as the access rule has it, in one subquery.

Among ten thousand organizations a count of them must cost little: one walk along an index of the clearances in force,
from organization to organization. The few that have no access whatever they hold are looked up beside it.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, select

from server.domain.access.clearances import IN_FORCE, Clearance
from server.domain.identity.organizations import IS_SHUT_OUT, Organization
from server.domain.release.tiers import Tier

ORGANIZATION = Clearance.organization_id
Number = ColumnElement[int] | Any  # a value, or another query's column


def organizations(model_id: Number, rank: Number, at: datetime) -> Select[int]:
    """The ids of the partners that are cleared at a moment and not suspended; once each."""
    return select(ORGANIZATION).where(*conditions(model_id, rank, at)).group_by(ORGANIZATION)


def conditions(model_id: Number, rank: Number, at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Which clearances those are."""
    held = select(Tier.rank).where(Tier.id == Clearance.tier_id).correlate(Clearance).scalar_subquery()
    return (
        Clearance.model_id == model_id, IN_FORCE, Clearance.starts_at <= at, Clearance.expires_at > at, held >= rank,
        ORGANIZATION.not_in(select(Organization.id).where(IS_SHUT_OUT)),
    )  # fmt: skip
