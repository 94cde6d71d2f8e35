"""Which signature counts: one of the agreement's current version, or for a time one of the version just before it."""

from collections.abc import Sequence
from datetime import datetime

from server.domain.access.facts import SignatureFacts, VersionFacts


def counting(agreement: VersionFacts, signatures: Sequence[SignatureFacts], at: datetime) -> SignatureFacts | None:
    """The signature in force that row 6 of the access rule accepts at a moment; None where there is none."""
    if signature := _of_version(signatures, agreement.current_version_id):
        return signature
    lasts = agreement.resign_until is not None and at < agreement.resign_until
    return _of_version(signatures, agreement.previous_version_id) if lasts else None


def is_previous(agreement: VersionFacts, signature: SignatureFacts | None) -> bool:
    """Whether it is one of the version before, which counts no longer than there is time to sign again."""
    return signature is not None and signature.version_id != agreement.current_version_id


def signed_sha256(agreement: VersionFacts, signature: SignatureFacts | None) -> str | None:
    """Of the text that the signature is under; in the lab, which may have none, of the current one."""
    return agreement.previous_sha256 if is_previous(agreement, signature) else agreement.sha256


def _of_version(signatures: Sequence[SignatureFacts], version_id: int | None) -> SignatureFacts | None:
    signed = (row for row in signatures if row.version_id == version_id)
    return next((row for row in signed if row.ended_at is None), None)
