"""Carrying out: what one person proposed, and another lets happen."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.identity import organizations, proposals
from server.domain.identity.proposals import Proposal, ProposalKind
from server.domain.mail import notices
from server.domain.permissions import Permission
from server.domain.publish import opening
from server.domain.release import stage_editing
from server.domain.resources import Resources


def set_quota(
    use: Resources, caller: Caller, slug: str, *, bytes_per_day: int | None, requests_per_minute: int | None
) -> Proposal | None:
    """Replace an organization's limits; returns the proposal that waits where one admin alone may not raise them so."""
    caller.require(Permission.ORGANIZATION_MANAGE)
    says = {"bytes_per_day": bytes_per_day, "requests_per_minute": requests_per_minute}
    organizations.require_limits(bytes_per_day, requests_per_minute)
    with use.database.transaction() as session:
        at = use.clock()
        if not organizations.raises_beyond(session, slug, bytes_per_day, use.settings.quota_alone_bytes_per_day):
            organizations.set_quota_in(session, use, caller, slug, **says)
            return None
        proposal = proposals.create(session, caller, ProposalKind.QUOTA, slug, says, at)
        notices.proposal_waits(session, use, proposal, at)
        return proposal


def approve(use: Resources, caller: Caller, proposal_id: int) -> Proposal:
    """Let what another person proposed happen, at once, or allow it where it is done on the host.

    Raises what `proposals.approve_in` and the act itself raise.
    """
    with use.database.transaction() as session:
        at = use.clock()
        proposal = proposals.approve_in(session, caller, proposal_id, at)
        notices.proposal_closed(session, use, proposal, str(caller.person), at)
        if proposal.about.afterwards is None:
            _CARRIED_OUT[ProposalKind(proposal.kind)](session, use, caller, proposal)
        return proposal


def reject(use: Resources, caller: Caller, proposal_id: int) -> Proposal:
    """Close it for good: for its proposer a withdrawal."""
    with use.database.transaction() as session:
        at = use.clock()
        proposal = proposals.reject_in(session, caller, proposal_id, at)
        notices.proposal_closed(session, use, proposal, str(caller.person), at)
        return proposal


def _set_quota(session: Session, use: Resources, caller: Caller, proposal: Proposal) -> None:
    organizations.set_quota_in(session, use, caller, proposal.subject, **proposal.says, proposal=proposal.id)


_CARRIED_OUT: dict[ProposalKind, Callable[[Session, Resources, Caller, Proposal], Any]] = {
    ProposalKind.CHECKPOINT: opening.carry_out,
    ProposalKind.QUOTA: _set_quota,
    ProposalKind.REPORTS: stage_editing.carry_out,
}
