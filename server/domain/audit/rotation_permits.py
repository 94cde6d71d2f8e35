"""Rotation permits: two people agree that a log is closed; for some days an admin may then do it, once, on the host."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.audit import logs, verifying
from server.domain.callers import Caller
from server.domain.errors import NotPermitted, NotPossible
from server.domain.identity import proposals, second_person
from server.domain.identity.proposals import KINDS, Proposal, ProposalKind
from server.domain.mail import notices
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log.entries import Log

GOOD_FOR = KINDS[ProposalKind.KEYS].good_for


@dataclass(frozen=True, slots=True)
class Terms:
    """Why a log is closed, or abandoned. allowed_by: what the entries say of it; of one who acts alone, just that."""

    because: str
    abandon: bool = False
    allowed_by: Mapping[str, Any] = field(default_factory=lambda: {"alone": True})


def propose(use: Resources, caller: Caller, terms: Terms) -> Proposal:
    """Propose to close the log and to open the next one with new keys."""
    caller.require(Permission.LOG_MANAGE)
    verifying.require_reason(terms.because)
    says = {"abandon": terms.abandon, "because": terms.because}
    with use.database.transaction() as session:
        at = use.clock()
        proposal = proposals.create(session, caller, ProposalKind.KEYS, logs.current(session).name, says, at)
        notices.proposal_waits(session, use, proposal, at)
        return proposal


def require(session: Session, caller: Caller, log: Log, at: datetime, alone: Terms | None) -> Terms:
    """What a rotation of this log rests on. Raises NotPossible where it rests on nothing."""
    caller.require(Permission.LOG_MANAGE)
    if alone is not None:
        _require_alone(session, caller, alone)
        return alone
    approved = select(Proposal).where(
        Proposal.kind == ProposalKind.KEYS, Proposal.subject == log.name, Proposal.approved_at > at - GOOD_FOR
    )
    permit = session.scalars(approved.order_by(Proposal.id.desc()).limit(1)).first()
    if permit is None:
        raise NotPossible(
            f"Nobody has approved new keys for the log {log.name} in the last {GOOD_FOR.days} days.",
            next_step="`keys propose-rotation --because TEXT`, and another admin: `proposal approve ID`.",
        )
    names = {"proposed_by": permit.proposer.email, "approved_by": permit.approver and permit.approver.email}
    return Terms(permit.says["because"], permit.says["abandon"], {"proposal": permit.id, **names})


def _require_alone(session: Session, caller: Caller, terms: Terms) -> None:
    """As with an admin who is restored: on the host, and only while nobody else could approve."""
    verifying.require_reason(terms.because)
    if caller.via != "cli":
        raise NotPermitted("Keys are rotated on the host.")
    if able := [admin.email for admin in second_person.able(session, caller.person_id)]:
        raise NotPossible(
            "Another admin can still approve it.",
            next_step=f"`keys propose-rotation`, then ask {' or '.join(able)}.",
        )
