"""Tiers: named ranks of access, defined by the lab."""

import re
from collections.abc import Sequence

from sqlalchemy import String, false, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.storage.database import Base, Key

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class Tier(Base):
    """A rank: a clearance of a higher tier opens whatever a lower one does."""

    __tablename__ = "tiers"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    rank: Mapped[int] = mapped_column(unique=True)
    # Whether an organization must have reported on a model, be it that nothing was found, before it renews its access.
    report_to_renew: Mapped[bool] = mapped_column(default=False, server_default=false())


def add(use: Resources, caller: Caller, name: str, rank: int, *, report_to_renew: bool = False) -> Tier:
    """Define a tier. Ranks are never changed: clearances that were given would mean something else."""
    caller.require(Permission.TIER_MANAGE)
    if not NAME.fullmatch(name) or not 0 <= rank <= 1_000_000:
        raise InvalidRequest("A tier needs a name (a-z, 0-9 and '-') and a rank from 0 to 1000000.")
    with use.database.transaction() as session:
        taken = session.scalar(select(Tier).where((Tier.name == name) | (Tier.rank == rank)))
        if taken is not None:
            raise NotPossible(f"Tier {taken.name} already has rank {taken.rank}. Choose another name and rank.")
        tier = Tier(name=name, rank=rank, report_to_renew=report_to_renew)
        session.add(tier)
        session.flush()
        record = {"actor": caller.as_record(), "tier": name, "rank": rank, "report_to_renew": report_to_renew}
        acts.append(session, EntryKind.TIER_ADD, use.clock(), record)
        return tier


def edit(use: Resources, caller: Caller, name: str, *, report_to_renew: bool) -> Tier:
    """Say whether renewing takes a report: from the next request on. Raises NotFound, NotPossible if it is so already.

    Nobody can waive it for one organization: an admin who wants to can propose a clearance, which is an entry.
    """
    caller.require(Permission.TIER_MANAGE)
    with use.database.transaction() as session:
        get(session, name)
        tier = session.scalars(select(Tier).where(Tier.name == name).with_for_update()).one()
        if tier.report_to_renew == report_to_renew:
            raise NotPossible(f"Tier {name} already takes {'a' if report_to_renew else 'no'} report to renew.")
        tier.report_to_renew = report_to_renew
        record = {"actor": caller.as_record(), "tier": name, "report_to_renew": report_to_renew}
        acts.append(session, EntryKind.TIER_EDIT, use.clock(), record)
        return tier


def all_of_them(session: Session, part: Slice) -> Page[Tier]:
    return page(session, select(Tier), Tier.id, part)


def ranked(session: Session) -> Sequence[Tier]:
    """Every tier, the lowest first: there are few."""
    return session.scalars(select(Tier).order_by(Tier.rank)).all()


def get(session: Session, name: str) -> Tier:
    """Raises NotFound."""
    tier = session.scalar(select(Tier).where(Tier.name == name))
    if tier is None:
        known = ", ".join(session.scalars(select(Tier.name).order_by(Tier.rank)))
        raise NotFound(f"There is no tier {name}. Existing tiers: {known or 'none'}.")
    return tier


def needs_second_person(session: Session, tier: Tier, second_person_tier: str) -> bool:
    """Whether a clearance of this tier takes two people. A tier that the settings name and nobody defined: always."""
    threshold = session.scalar(select(Tier.rank).where(Tier.name == second_person_tier))
    return threshold is None or tier.rank >= threshold
