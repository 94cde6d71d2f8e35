"""Signatures: lists of who has signed what, for the lab."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from server.domain.agreements import Agreement, AgreementVersion, Signature
from server.domain.callers import Caller
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which signatures; None: whatever it is. waiting: only those that the lab has not countersigned yet."""

    organization_id: int | None = None
    version_id: int | None = None
    waiting: bool = False


def listed(session: Session, caller: Caller, wanted: Wanted, part: Slice) -> Page[Signature]:
    """Signatures, newest first: one's own organization's, for staff all."""
    caller.require(Permission.AGREEMENT_READ)
    query = _WITH_NAMES
    if not caller.is_staff:
        query = query.where(Signature.organization_id == caller.organization_id)
    if wanted.organization_id is not None:
        query = query.where(Signature.organization_id == wanted.organization_id)
    if wanted.version_id is not None:
        query = query.where(Signature.version_id == wanted.version_id)
    if wanted.waiting:
        query = query.where(Signature.countersigned_at.is_(None), Signature.ended_at.is_(None))
    return page(session, query, Signature.id, part, newest_first=True)


def in_force(session: Session, version_id: int, part: Slice) -> Page[Signature]:
    """Who must sign again when this version is replaced."""
    query = _WITH_NAMES.where(
        Signature.version_id == version_id, Signature.countersigned_at.is_not(None), Signature.ended_at.is_(None)
    )
    return page(session, query, Signature.id, part)


def agreement_of(session: Session, signature: Signature) -> Agreement:
    return session.get_one(Agreement, signature.agreement_id)


_WITH_NAMES = select(Signature).options(
    joinedload(Signature.organization), joinedload(Signature.version).defer(AgreementVersion.text)
)
