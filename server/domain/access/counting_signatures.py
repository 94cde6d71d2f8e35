"""Which signature counts: one of the agreement's current version, or for a time one of the version just before it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from server.domain.access.facts import SignatureFacts, VersionFacts
from server.domain.access.signatures import COUNTS, Signature
from server.domain.release.agreements import Agreement, AgreementVersion


def counting(agreement: VersionFacts, signatures: Sequence[SignatureFacts], at: datetime) -> SignatureFacts | None:
    """The signature in force that row 6 of the access rule accepts at a moment; None where there is none."""
    if signature := _of_version(signatures, agreement.current_version_id):
        return signature
    lasts = agreement.resign_until is not None and at < agreement.resign_until
    return _of_version(signatures, agreement.previous_version_id) if lasts else None


def is_there(agreement_id: int, organization_id: Any, at: datetime) -> ColumnElement[bool]:
    """`counting` as a condition on an organization, for where they are too many to read each one's signatures.

    The versions are two scalar subqueries, so that each organization costs one look at an index on both databases.
    """
    current, previous = aliased(AgreementVersion), aliased(AgreementVersion)
    in_force = select(Agreement.current_version_id).where(Agreement.id == agreement_id)
    before_it = (
        select(previous.id)
        .join(current, (previous.agreement_id == current.agreement_id) & (previous.number == current.number - 1))
        .where(current.id == in_force.scalar_subquery(), current.resign_until > at)
    )
    signature = select(Signature.id).where(
        Signature.version_id.in_((in_force.scalar_subquery(), before_it.scalar_subquery())),
        Signature.organization_id == organization_id, COUNTS,
    )  # fmt: skip
    return signature.exists()


def is_previous(agreement: VersionFacts, signature: SignatureFacts | None) -> bool:
    """Whether it is one of the version before, which counts no longer than there is time to sign again."""
    return signature is not None and signature.version_id != agreement.current_version_id


def signed_sha256(agreement: VersionFacts, signature: SignatureFacts | None) -> str | None:
    """Of the text that the signature is under; in the lab, which may have none, of the current one."""
    return agreement.previous_sha256 if is_previous(agreement, signature) else agreement.sha256


def _of_version(signatures: Sequence[SignatureFacts], version_id: int | None) -> SignatureFacts | None:
    signed = (row for row in signatures if row.version_id == version_id)
    return next((row for row in signed if row.ended_at is None), None)
