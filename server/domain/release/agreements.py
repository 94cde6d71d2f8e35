"""Agreements: versioned legal texts. Who signed which of them stands in `signatures.py`."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from server import dates
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release import agreement_texts
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
RESIGN_DAYS_AT_MOST = 366


class Agreement(Base):
    """A legal text under a name that lasts. current_version_id: the wording that must be signed now."""

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
    # Until then signatures of the version just before this one count as well; None: they ended with it.
    resign_until: Mapped[datetime | None] = mapped_column(Moment)


def publish(use: Resources, caller: Caller, name: str, text: str, *, resign_within_days: int = 0) -> AgreementVersion:
    """Make a text the current version; whoever signed an older one must sign again. The first line is its title.

    resign_within_days: for so many days after today, signatures of the version that it replaces count as well.
    """
    caller.require(Permission.AGREEMENT_MANAGE)
    if not 0 <= resign_within_days <= RESIGN_DAYS_AT_MOST:
        raise InvalidRequest(f"The time to sign again is a number of days from 0 to {RESIGN_DAYS_AT_MOST}.")
    if not NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is not a valid agreement ID. Use up to 64 characters: a-z, 0-9 and '-'.")
    title = agreement_texts.require_readable(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    with use.database.transaction() as session:
        at = use.clock()
        agreement = _get_or_add(session, name)
        same = AgreementVersion.agreement_id == agreement.id
        if known := session.scalar(select(AgreementVersion).where(same, AgreementVersion.sha256 == sha256)):
            raise NotPossible(f"This text is already version {known.number} of {name}.")
        number = (session.scalar(select(func.max(AgreementVersion.number)).where(same)) or 0) + 1
        if number == 1 and resign_within_days:
            raise InvalidRequest("Nobody can have signed a version before the first: there is no time to sign again.")
        until = dates.end_of((at + timedelta(days=resign_within_days)).date()) if resign_within_days else None
        version = AgreementVersion(
            agreement_id=agreement.id, number=number, sha256=sha256, title=title, text=text,
            published_at=at, published_by=str(caller.person), resign_until=until,
        )  # fmt: skip
        session.add(version)
        session.flush()
        agreement.current_version_id = version.id
        record = {"actor": caller.as_record(), "agreement": name, "number": version.number, "sha256": sha256}
        if until is not None:
            record["resign_until"] = dates.milliseconds(until)
        acts.append(session, EntryKind.AGREEMENT_PUBLISH, at, record)
        return version


def find_version(session: Session, name: str, number: int | None = None) -> tuple[Agreement, AgreementVersion]:
    """An agreement and one wording of it; None: the current one. Raises NotFound."""
    agreement = get(session, name)
    return agreement, version_of(session, agreement, number)


def version_of(session: Session, agreement: Agreement, number: int | None) -> AgreementVersion:
    """One wording; None: the current one. Raises NotFound."""
    if number is None:
        return session.get_one(AgreementVersion, agreement.current_version_id)
    query = select(AgreementVersion).where(
        AgreementVersion.agreement_id == agreement.id, AgreementVersion.number == number
    )
    version = session.scalar(query)
    if version is None:
        raise NotFound(f"There is no version {number} of {agreement.name}.")
    return version


def versions(session: Session, agreement: Agreement) -> Sequence[AgreementVersion]:
    """Every wording, newest first; without the texts."""
    query = select(AgreementVersion).where(AgreementVersion.agreement_id == agreement.id)
    return session.scalars(query.options(defer(AgreementVersion.text)).order_by(AgreementVersion.number.desc())).all()


def current(session: Session, part: Slice, *, with_text: bool = False) -> Page[tuple[int, Agreement, AgreementVersion]]:
    """Every agreement with the version that must be signed now; rows of (id, Agreement, AgreementVersion)."""
    query = select(Agreement.id, Agreement, AgreementVersion).join(
        AgreementVersion, AgreementVersion.id == Agreement.current_version_id
    )
    if not with_text:  # each may be half a megabyte
        query = query.options(defer(AgreementVersion.text))
    return page(session, query, Agreement.id, part, scalars=False)


def names(session: Session) -> Sequence[str]:
    """Every agreement's name: there are few."""
    return session.scalars(select(Agreement.name).order_by(Agreement.name)).all()


def get(session: Session, name: str, *, lock: bool = False) -> Agreement:
    """Raises NotFound."""
    query = select(Agreement).where(Agreement.name == name)
    agreement = session.scalar(query.with_for_update() if lock else query) if NAME.fullmatch(name) else None
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
