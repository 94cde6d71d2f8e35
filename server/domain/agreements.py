"""Agreements: versioned legal texts, and who signed which version for which organization."""

import hashlib
import re
from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Date, ForeignKey, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import organizations
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import entries
from server.storage.database import Base, Key, Moment

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class Agreement(Base):
    """A legal text under a name that lasts. `current_version_id` is what issuing locks and what must be signed."""

    __tablename__ = "agreements"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    current_version_id: Mapped[int | None] = mapped_column(Key)


class AgreementVersion(Base):
    """One wording, known by the SHA-256 of its text; never changed."""

    __tablename__ = "agreement_versions"
    __table_args__ = (UniqueConstraint("agreement_id", "number"), UniqueConstraint("agreement_id", "sha256"))
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    title: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    published_at: Mapped[datetime] = mapped_column(Moment)
    published_by: Mapped[str] = mapped_column(String(254))


class Signature(Base):
    """An organization signed one version: by whom, when, on which paper; countersigned by the admin who recorded it."""

    __tablename__ = "signatures"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"), index=True)
    agreement_id: Mapped[int] = mapped_column(ForeignKey("agreements.id"))
    version_id: Mapped[int] = mapped_column(ForeignKey("agreement_versions.id"))
    signer_name: Mapped[str] = mapped_column(String(200))
    signer_title: Mapped[str] = mapped_column(String(200))
    signed_on: Mapped[date] = mapped_column(Date)
    document_sha256: Mapped[str] = mapped_column(String(64))
    countersigned_by: Mapped[str] = mapped_column(String(254))
    countersigned_at: Mapped[datetime] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)  # no longer in force from then on
    organization: Mapped[Organization] = relationship()
    version: Mapped[AgreementVersion] = relationship()


def publish(use: Resources, caller: Caller, name: str, text: str) -> AgreementVersion:
    """Make a text the current version; whoever signed an older one must sign again. The first line is its title."""
    caller.require(Permission.AGREEMENT_MANAGE)
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no name for an agreement: use a-z, 0-9 and '-', at most 64 characters.")
    title = text.strip().partition("\n")[0].lstrip("# ").strip()
    if not title or len(title) > 200 or len(text) > 500_000:
        raise InvalidRequest("An agreement begins with its title, at most 200 characters, and has 500000 at most.")
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with use.database.transaction() as session:
        at = use.clock()
        agreement = _get_or_add(session, name)
        same = AgreementVersion.agreement_id == agreement.id
        if known := session.scalar(select(AgreementVersion).where(same, AgreementVersion.sha256 == sha256)):
            raise NotPossible(f"This very text is version {known.number} of {name} already.")
        number = (session.scalar(select(func.max(AgreementVersion.number)).where(same)) or 0) + 1
        version = AgreementVersion(
            agreement_id=agreement.id, number=number, sha256=sha256, title=title, text=text,
            published_at=at, published_by=str(caller.person),
        )  # fmt: skip
        session.add(version)
        session.flush()
        agreement.current_version_id = version.id
        record = {"actor": caller.as_record(), "agreement": name, "number": version.number, "sha256": sha256}
        entries.append(session, kind="agreement.publish", at=at, record=record, subject=name)
        return version


def record_signature(
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
) -> Signature:
    """Record, and by that countersign, that an organization signed version `number` (None: the current one)."""
    caller.require(Permission.SIGNATURE_RECORD)
    for what, value in (("name", signer_name), ("title", signer_title)):
        if not value.strip() or len(value) > 200:
            raise InvalidRequest(f"The signing officer's {what} is needed, at most 200 characters.")
    if not SHA256.fullmatch(document_sha256):
        raise InvalidRequest("The signed document's SHA-256 is 64 lower-case hex digits, as `sha256sum` prints it.")
    with use.database.transaction() as session:
        at = use.clock()
        if signed_on > at.date():
            raise InvalidRequest(f"{signed_on} has not come yet: give the day on which the document was signed.")
        partner = organizations.get(session, organization)
        text = get(session, agreement, lock=True)  # neither a new version nor a second signature comes between
        version = _version(session, text, number)
        if in_force(session, partner.id, version.id):
            raise NotPossible(f"{organization} has signed version {version.number} of {agreement} already.")
        signature = Signature(
            organization_id=partner.id, agreement_id=text.id, version_id=version.id, signer_name=signer_name.strip(),
            signer_title=signer_title.strip(), signed_on=signed_on, document_sha256=document_sha256,
            countersigned_by=str(caller.person), countersigned_at=at,
        )  # fmt: skip
        session.add(signature)
        session.flush()
        _record(session, caller, "signature.record", signature, partner.slug, version, at)
        return signature


def end_signature(use: Resources, caller: Caller, signature_id: int) -> None:
    """End a signature: from the next request on, the agreement counts as unsigned."""
    caller.require(Permission.SIGNATURE_RECORD)
    with use.database.transaction() as session:
        signature = session.get(Signature, signature_id, with_for_update=True)
        if signature is None:
            raise NotFound(f"There is no signature {signature_id}.")
        if signature.ended_at is not None:
            raise NotPossible(f"Signature {signature_id} has ended already.")
        signature.ended_at = use.clock()
        partner = session.get_one(Organization, signature.organization_id)
        version = session.get_one(AgreementVersion, signature.version_id)
        _record(session, caller, "signature.end", signature, partner.slug, version, signature.ended_at)


def current(session: Session, part: Slice) -> Page[tuple[int, Agreement, AgreementVersion]]:
    """Every agreement with the version that must be signed now; rows of (id, Agreement, AgreementVersion)."""
    query = select(Agreement.id, Agreement, AgreementVersion).join(
        AgreementVersion, AgreementVersion.id == Agreement.current_version_id
    )
    return page(session, query, Agreement.id, part, scalars=False)


def signatures_of(session: Session, caller: Caller, agreement_ids: Sequence[int]) -> Sequence[Signature]:
    """Who signed these agreements: one's own organization's signatures, for staff all."""
    query = select(Signature).where(Signature.agreement_id.in_(agreement_ids)).order_by(Signature.id)
    query = query.options(joinedload(Signature.organization), joinedload(Signature.version))
    if not caller.is_staff:
        query = query.where(Signature.organization_id == caller.organization_id)
    return session.scalars(query).all()


def in_force(session: Session, organization_id: int, version_id: int) -> bool:
    return bool(
        session.scalar(
            select(Signature.id).where(
                Signature.organization_id == organization_id,
                Signature.version_id == version_id,
                Signature.ended_at.is_(None),
            )
        )
    )


def get(session: Session, name: str, *, lock: bool = False) -> Agreement:
    """Raises NotFound."""
    query = select(Agreement).where(Agreement.name == name)
    agreement = session.scalar(query.with_for_update() if lock else query)
    if agreement is None:
        raise NotFound(f"There is no agreement {name}.")
    return agreement


def _get_or_add(session: Session, name: str) -> Agreement:
    agreement = session.scalar(select(Agreement).where(Agreement.name == name).with_for_update())
    if agreement is None:
        agreement = Agreement(name=name)
        session.add(agreement)
        session.flush()
    return agreement


def _version(session: Session, agreement: Agreement, number: int | None) -> AgreementVersion:
    if number is None:
        return session.get_one(AgreementVersion, agreement.current_version_id)
    query = select(AgreementVersion).where(
        AgreementVersion.agreement_id == agreement.id, AgreementVersion.number == number
    )
    version = session.scalar(query)
    if version is None:
        raise NotFound(f"There is no version {number} of {agreement.name}.")
    return version


def _record(
    session: Session,
    caller: Caller,
    kind: str,
    about: Signature,
    organization: str,
    version: AgreementVersion,
    at: datetime,
) -> None:
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
    }
    entries.append(
        session, kind=kind, at=at, record=record, organization_id=about.organization_id, subject=str(about.id)
    )
