"""Releasing findings: an admin lets other partners read one, if its reporter allowed it, and after its embargo."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain import acts
from server.domain.access import cleared
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity.organizations import Organization
from server.domain.mail import finding_notices
from server.domain.permissions import Permission
from server.domain.release.findings import Finding, FindingReader
from server.domain.release.stages import StageState
from server.domain.resources import Resources


def release(use: Resources, caller: Caller, finding_id: int, to: Collection[str]) -> Sequence[Organization]:
    """Let these organizations read a finding, and tell their owners. to: slugs of those who may have its stage.

    Raises NotPossible before the embargo's end, and where the reporter did not allow it. There is no taking it back.
    """
    caller.require(Permission.FINDING_TRIAGE)
    with use.database.transaction() as session:
        finding = session.get(Finding, finding_id, with_for_update=True)
        if finding is None:
            raise NotFound(f"There is no finding {finding_id}.")
        at = use.clock()
        if (because := forbidden(finding, at)) is not None:
            raise NotPossible(because)
        chosen = [one for one in candidates(session, finding, at) if one.slug in to]
        if not to or len(chosen) != len(set(to)):
            raise InvalidRequest(
                f"Choose organizations that may download {finding.stage.full_name} and do not have the finding yet."
            )
        session.add_all(FindingReader(organization_id=one.id, finding_id=finding.id, since=at) for one in chosen)
        session.flush()
        numbers = [one.id for one in chosen]
        finding_notices.released(session, use, finding.id, finding.stage.full_name, finding.title, numbers, at)
        record = {
            "actor": caller.as_record(), "finding": finding.id, "stage": finding.stage.full_name,
            "to": sorted(one.slug for one in chosen),
        }  # fmt: skip
        acts.append(session, EntryKind.FINDING_RELEASE, at, record)  # names partners: no partner sees this entry
        return chosen


def forbidden(finding: Finding, at: datetime) -> str | None:
    """Why nobody else may read it yet, in a sentence; None where others may."""
    if not finding.may_publish:
        return "Its reporter did not allow this finding to be shared."
    if finding.embargo_until is not None and finding.is_embargoed(at):
        return f"This finding is under embargo until {dates.day(finding.embargo_until)}."
    return None


def candidates(session: Session, finding: Finding, at: datetime) -> Sequence[Organization]:
    """The partners that may have the finding's stage now, by their clearances, and do not have the finding yet."""
    has_it = select(FindingReader.organization_id).where(FindingReader.finding_id == finding.id)
    query = select(Organization).where(
        ~Organization.is_lab, Organization.suspended_at.is_(None), Organization.id.not_in(has_it)
    )
    if finding.stage.state != StageState.PUBLIC:
        may = cleared.organizations(finding.model_id, finding.stage.tier.rank, at)
        query = query.where(Organization.id.in_(may))
    return session.scalars(query.order_by(Organization.slug)).all()


def released_to(session: Session, caller: Caller, finding: Finding) -> Sequence[FindingReader]:
    """Which other organizations read it, and since when; for the lab alone."""
    caller.require(Permission.FINDING_READ)
    if not caller.is_staff:
        return []
    query = select(FindingReader).where(FindingReader.finding_id == finding.id)
    query = query.where(FindingReader.organization_id != finding.organization_id)
    return session.scalars(query.order_by(FindingReader.since, FindingReader.organization_id)).all()
