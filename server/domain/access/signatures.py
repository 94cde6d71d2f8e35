"""Signatures: who signed which version of an agreement for which organization, and what the lab said to it."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import Date, ForeignKey, Index, String, Text, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship, undefer

from server import dates
from server.domain import acts, long_texts
from server.domain.access import signed_copies
from server.domain.access.signed_copies import Signing
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity import organizations
from server.domain.identity.organizations import Organization
from server.domain.mail import notices
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release import agreements
from server.domain.release.agreements import Agreement, AgreementVersion
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

SHA256 = re.compile(r"[0-9a-f]{64}")


class Standing(StrEnum):
    """Where an organization stands with an agreement's current version."""

    UNSIGNED = "unsigned"
    WAITING = "waiting"  # signed, and the lab has not countersigned yet
    IN_FORCE = "in force"
    OUTDATED = "outdated"  # what was signed is an older version
    DECLINED = "declined"
    ENDED = "ended"


class Signature(Base):
    """An organization signed one version: by whom, when, on which paper. In force once the lab has countersigned."""

    __tablename__ = "signatures"
    __table_args__ = (Index("ix_signatures_version_id_id", "version_id", "id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("agreement_versions.id"))
    signer_name: Mapped[str] = mapped_column(String(200))
    signer_title: Mapped[str] = mapped_column(String(200))
    signed_on: Mapped[date] = mapped_column(Date)
    document_sha256: Mapped[str] = mapped_column(String(64))
    signed_by: Mapped[int | None] = mapped_column(Key)  # the person who signed in the portal; None: on paper
    statement: Mapped[str | None] = mapped_column(String(1000))  # what they typed to sign
    document: Mapped[str | None] = mapped_column(Text, deferred=True)  # the signed copy; None: it is on paper
    countersigned_by: Mapped[str | None] = mapped_column(String(254))
    countersigned_at: Mapped[datetime | None] = mapped_column(Moment)
    declined_because: Mapped[str | None] = mapped_column(Text)  # then it ended as well
    ended_at: Mapped[datetime | None] = mapped_column(Moment)  # no longer in force from then on
    organization: Mapped[Organization] = relationship()
    version: Mapped[AgreementVersion] = relationship()

    @property
    def standing(self) -> Standing:
        """What has become of it, whichever version is the current one."""
        if self.declined_because is not None:
            return Standing.DECLINED
        if self.ended_at is not None:
            return Standing.ENDED
        return Standing.WAITING if self.countersigned_at is None else Standing.IN_FORCE


IS_WAITING = Signature.countersigned_at.is_(None) & Signature.ended_at.is_(None)
COUNTS = Signature.countersigned_at.is_not(None) & Signature.ended_at.is_(None)
Index(
    "ix_signatures_counting", Signature.version_id, Signature.organization_id, sqlite_where=COUNTS,
    postgresql_where=COUNTS,
)  # fmt: skip
Index("ix_signatures_waiting", Signature.id, sqlite_where=IS_WAITING, postgresql_where=IS_WAITING)


@dataclass(frozen=True, slots=True)
class SignatureFilter:
    """Which signatures; None: whatever it is. waiting: only those that the lab has not countersigned yet."""

    organization_id: int | None = None
    version_id: int | None = None
    waiting: bool = False


def record(
    use: Resources,
    caller: Caller,
    organization: str,
    agreement: str,
    *,
    signer_name: str,
    signer_title: str,
    signed_on: date,
    document_sha256: str,
    number: int | None = None,
    before_publication: bool = False,
) -> Signature:
    """Record, and by that countersign, that an organization signed version `number` (None: the current one).

    before_publication: it was signed on paper before that version was published here.
    """
    caller.require(Permission.SIGNATURE_RECORD)
    _require_paper(signer_name, signer_title, document_sha256)
    with use.database.transaction() as session:
        at = use.clock()
        partner = organizations.get(session, organization)
        # Locked: neither a new version nor a second signature comes between.
        text = agreements.get(session, agreement, lock=True)
        version = agreements.version_of(session, text, number)
        _require_day(signed_on, at, version, before_publication)
        if _is_in_force(session, partner.id, version.id):
            raise NotPossible(f"{organization} has already signed version {version.number} of {agreement}.")
        signature = Signature(
            organization_id=partner.id, agreement_id=text.id, version_id=version.id, signer_name=signer_name.strip(),
            signer_title=signer_title.strip(), signed_on=signed_on, document_sha256=document_sha256,
            countersigned_by=str(caller.person), countersigned_at=at,
        )  # fmt: skip
        session.add(signature)
        session.flush()
        _record(session, caller, EntryKind.SIGNATURE_RECORD, signature, partner.slug, version, at)
        return signature


def _require_day(signed_on: date, at: datetime, version: AgreementVersion, before_publication: bool) -> None:
    if signed_on > at.date():
        raise InvalidRequest(f"{signed_on} is in the future. Enter the day on which the document was signed.")
    if signed_on < version.published_at.date() and not before_publication:
        raise InvalidRequest(
            f"Version {version.number} was published here on {dates.day(version.published_at)}, after {signed_on}.",
            next_step="Check version and date. If the paper is older than its publication here, say so explicitly.",
        )


def _require_paper(signer_name: str, signer_title: str, document_sha256: str) -> None:
    for what, value in (("name", signer_name), ("title", signer_title)):
        if not value.strip() or len(value) > 200:
            raise InvalidRequest(f"The signing officer's {what} is required, in 200 characters or fewer.")
    if not SHA256.fullmatch(document_sha256):
        raise InvalidRequest(
            "The signed document's SHA-256 must be 64 lowercase hex digits, as printed by `sha256sum`."
        )


def sign(
    use: Resources, caller: Caller, name: str, version_sha256: str, signer_name: str, signer_title: str, statement: str
) -> Signature:
    """Sign the version that the caller read, for their organization. It is in force once the lab has countersigned.

    statement: typed by the caller, word for word as `signed_copies.statement_for` gives it. Raises NotPossible when
    another version has become the current one, or when this one is signed already.
    """
    caller.require(Permission.AGREEMENT_SIGN)
    for what, value in (("name", signer_name), ("title", signer_title)):
        if not value.strip() or len(value) > 200 or not value.isprintable():
            raise InvalidRequest(f"Your {what} is required, on one line of 200 characters or fewer.")
    with use.database.transaction() as session:
        partner = session.get_one(Organization, caller.organization_id)
        if statement != (wanted := signed_copies.statement_for(partner.name)):
            raise InvalidRequest(f"Type the statement exactly: {wanted}")
        text = agreements.get(session, name, lock=True)  # neither a new version nor a second signature comes between
        at, version = use.clock(), agreements.version_of(session, text, None)
        if version.sha256 != version_sha256:
            raise NotPossible(
                f"Version {version.number} was published while you were reading. Nothing was signed.",
                next_step="Read the new version below, then sign it.",
            )
        _require_unsigned(session, partner, version)
        signing = Signing(
            name, version.number, version.text, version.sha256, (partner.name, partner.slug), signer_name.strip(),
            signer_title.strip(), str(caller.person), at, statement,
        )  # fmt: skip
        document = signed_copies.write(signing)
        signature = Signature(
            organization_id=partner.id, agreement_id=text.id, version_id=version.id, signer_name=signing.name,
            signer_title=signing.title, signed_on=at.date(), signed_by=caller.person_id, statement=statement,
            document=document, document_sha256=hashlib.sha256(document.encode()).hexdigest(),
        )  # fmt: skip
        session.add(signature)
        session.flush()
        _record(session, caller, EntryKind.SIGNATURE_SIGN, signature, partner.slug, version, at)
        signer = f"{signing.name}, {signing.title}"
        notices.signature_waits(session, use, signature.id, partner.name, _named(name, version), signer, at)
        return signature


def countersign(use: Resources, caller: Caller, signature_id: int) -> Signature:
    """Put a signature into force: from the next request on, the agreement counts as signed."""
    caller.require(Permission.SIGNATURE_RECORD)
    with use.database.transaction() as session:
        signature, agreement = _waiting(session, signature_id)
        version = session.get_one(AgreementVersion, signature.version_id)
        if version.id != agreement.current_version_id:
            raise NotPossible(
                f"Version {version.number} has been replaced since it was signed.",
                next_step="Decline this signature, so that the organization can sign the current version.",
            )
        partner = session.get_one(Organization, signature.organization_id)
        if _is_in_force(session, partner.id, version.id):
            raise NotPossible(f"{partner.slug} already has another signature of version {version.number} in force.")
        at = use.clock()
        signature.countersigned_by, signature.countersigned_at = str(caller.person), at
        _record(session, caller, EntryKind.SIGNATURE_COUNTERSIGN, signature, partner.slug, version, at)
        what = _named(agreement.name, version)
        notices.countersigned(session, use, partner.id, signature.signed_by, what, at)
        return signature


def decline(use: Resources, caller: Caller, signature_id: int, because: str) -> None:
    """Refuse to countersign: the organization sees why, and can sign again."""
    caller.require(Permission.SIGNATURE_RECORD)
    because = long_texts.require(because, "a reason, which the organization can read")
    with use.database.transaction() as session:
        signature, agreement = _waiting(session, signature_id)
        at = use.clock()
        signature.ended_at, signature.declined_because = at, because
        partner = session.get_one(Organization, signature.organization_id)
        version = session.get_one(AgreementVersion, signature.version_id)
        _record(
            session, caller, EntryKind.SIGNATURE_DECLINE, signature, partner.slug, version, at,
            because=signature.declined_because,
        )  # fmt: skip
        what = _named(agreement.name, version)
        notices.signature_declined(session, use, partner.id, signature.signed_by, what, because, at)


def end(use: Resources, caller: Caller, signature_id: int) -> None:
    """End a signature: from the next request on, the agreement counts as unsigned."""
    caller.require(Permission.SIGNATURE_RECORD)
    with use.database.transaction() as session:
        signature = _existing(session.get(Signature, signature_id, with_for_update=True), signature_id)
        if signature.ended_at is not None:
            raise NotPossible(f"Signature {signature_id} has already ended.")
        if signature.countersigned_at is None:
            raise NotPossible(f"Signature {signature_id} was never in force. Decline it instead.")
        signature.ended_at = use.clock()
        partner = session.get_one(Organization, signature.organization_id)
        version = session.get_one(AgreementVersion, signature.version_id)
        _record(session, caller, EntryKind.SIGNATURE_END, signature, partner.slug, version, signature.ended_at)


def find(session: Session, caller: Caller, signature_id: int) -> Signature:
    """One signature, with its `document`; to another organization's people it does not exist. Raises NotFound."""
    query = _WITH_NAMES.where(Signature.id == signature_id).options(undefer(Signature.document))
    if not caller.is_staff:
        query = query.where(Signature.organization_id == caller.organization_id)
    return _existing(session.scalar(query), signature_id)


def standing(version: AgreementVersion, signatures: Sequence[Signature]) -> tuple[Standing, Signature | None]:
    """Where one organization stands with the current version, and the signature that says so.

    signatures: that organization's, of every version, oldest first.
    """
    mine = [signature for signature in signatures if signature.version_id == version.id]
    for wanted in (Standing.IN_FORCE, Standing.WAITING):
        if found := [signature for signature in mine if signature.standing is wanted]:
            return wanted, found[-1]
    if mine:
        return mine[-1].standing, mine[-1]
    if older := [signature for signature in signatures if signature.standing is Standing.IN_FORCE]:
        return Standing.OUTDATED, older[-1]
    return Standing.UNSIGNED, None


def listed(session: Session, caller: Caller, wanted: SignatureFilter, part: Slice) -> Page[Signature]:
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
        query = query.where(IS_WAITING)
    return page(session, query, Signature.id, part, newest_first=True)


def of_agreements(session: Session, caller: Caller, agreement_ids: Sequence[int]) -> Sequence[Signature]:
    """Who signed these agreements: one's own organization's signatures, for staff all."""
    query = _WITH_NAMES.where(Signature.agreement_id.in_(agreement_ids)).order_by(Signature.id)
    if not caller.is_staff:
        query = query.where(Signature.organization_id == caller.organization_id)
    return session.scalars(query).all()


def in_force(session: Session, caller: Caller, version_id: int, part: Slice) -> Page[Signature]:
    """Who must sign again when this version is replaced: one's own organization, for staff all."""
    caller.require(Permission.AGREEMENT_READ)
    query = _WITH_NAMES.where(*caller.within(Signature.organization_id)).where(
        Signature.version_id == version_id, Signature.countersigned_at.is_not(None), Signature.ended_at.is_(None)
    )
    return page(session, query, Signature.id, part)


def agreement_of(session: Session, signature: Signature) -> Agreement:
    return session.get_one(Agreement, signature.agreement_id)


def _is_in_force(session: Session, organization_id: int, version_id: int) -> bool:
    return bool(
        session.scalar(
            select(Signature.id).where(
                Signature.organization_id == organization_id,
                Signature.version_id == version_id,
                Signature.countersigned_at.is_not(None),
                Signature.ended_at.is_(None),
            )
        )
    )


_WITH_NAMES = select(Signature).options(
    joinedload(Signature.organization).load_only(Organization.slug, Organization.name),
    joinedload(Signature.version).defer(AgreementVersion.text),
)


def _existing(signature: Signature | None, signature_id: int) -> Signature:
    if signature:
        return signature
    raise NotFound(f"There is no signature {signature_id}.")


def _require_unsigned(session: Session, partner: Organization, version: AgreementVersion) -> None:
    mine = select(Signature).where(Signature.organization_id == partner.id, Signature.version_id == version.id)
    state, _ = standing(version, session.scalars(mine.order_by(Signature.id)).all())
    if state in {Standing.IN_FORCE, Standing.WAITING}:
        raise NotPossible(
            f"{partner.name} has already signed version {version.number}.",
            next_step="If it is not in force yet, wait for the lab to countersign.",
        )


def _named(agreement: str, version: AgreementVersion) -> str:
    return f"version {version.number} of {agreement}"


def _waiting(session: Session, signature_id: int) -> tuple[Signature, Agreement]:
    """A signature that waits, and its agreement: both locked, in the order in which signing locks them."""
    known = _existing(session.get(Signature, signature_id), signature_id)
    agreement = session.get_one(Agreement, known.agreement_id, with_for_update=True)
    signature = session.get_one(Signature, signature_id, with_for_update=True, populate_existing=True)
    if signature.standing is not Standing.WAITING:
        raise NotPossible(f"Signature {signature_id} is {signature.standing}: only a pending signature can be decided.")
    return signature, agreement


def _record(
    session: Session, caller: Caller, kind: EntryKind, about: Signature, organization: str, version: AgreementVersion,
    at: datetime, **more: str,
) -> None:  # fmt: skip
    record = {
        "actor": caller.as_record(),
        "signature": about.id,
        "organization": organization,
        "agreement_sha256": version.sha256,
        "number": version.number,
        "signer_name": about.signer_name,
        "signer_title": about.signer_title,
        "signed_on": about.signed_on.isoformat(),
        "document_sha256": about.document_sha256,
        **more,
    }
    acts.append(session, kind, at, record, organization_id=about.organization_id)
