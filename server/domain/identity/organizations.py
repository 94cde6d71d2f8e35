"""Organizations: the lab, and the partners that access is granted to."""

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Index, Row, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column, synonym

from server import addresses
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity import look_alikes
from server.domain.paging import Page, Slice, cut, page
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.storage.folded import Folded
from server.text import unseen

SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
HELD_AS = "organization:"  # before the slug: what a hold on one is on
REQUESTS_PER_MINUTE_AT_MOST = 1_000_000  # far above what a server answers, and an interval that a clock can measure


class Organization(Base):
    """A partner, or the lab itself. People, tokens, clearances and signatures belong to it."""

    __tablename__ = "organizations"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    is_lab: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Moment)
    suspended_at: Mapped[datetime | None] = mapped_column(Moment)
    suspended_by: Mapped[str | None] = mapped_column(String(254))
    suspension_reason: Mapped[str | None] = mapped_column(Text)
    networks: Mapped[str] = mapped_column(String(1000), default="")  # space separated; a fetch from outside is an alarm
    # A suspension is the hold on an organization: `release/holds.py` places and lifts it as any other.
    held_at: Mapped[datetime | None] = synonym("suspended_at")
    held_by: Mapped[str | None] = synonym("suspended_by")
    hold_reason: Mapped[str | None] = synonym("suspension_reason")


IS_SHUT_OUT = Organization.is_lab | Organization.suspended_at.is_not(None)  # no clearance opens anything to it
Index("ix_organizations_shut_out", Organization.id, sqlite_where=IS_SHUT_OUT, postgresql_where=IS_SHUT_OUT)


class Quota(Base):
    """An organization's limits; a row of its own, since issuing locks and advances it. None: no limit."""

    __tablename__ = "quotas"
    organization_id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    bytes_per_day: Mapped[int | None] = mapped_column(Key)
    requests_per_minute: Mapped[int | None]
    next_free_at: Mapped[datetime | None] = mapped_column(Moment)  # when a request would find the rate unused


def add(use: Resources, caller: Caller, slug: str, name: str) -> Organization:
    """Add a partner organization. It can do nothing until it is cleared and has signed."""
    caller.require(Permission.ORGANIZATION_MANAGE)
    with use.database.transaction() as session:
        organization = create(session, slug, name, is_lab=False, at=use.clock())
        _record(
            session, caller, EntryKind.ORGANIZATION_ADD, organization, use.clock(),
            name=organization.name, organization_id=organization.id,
        )  # fmt: skip
        return organization


def lab(session: Session) -> Organization:
    """The one that this instance is of."""
    return session.scalars(select(Organization).where(Organization.is_lab)).one()


def create(session: Session, slug: str, name: str, *, is_lab: bool, at: datetime) -> Organization:
    if not SLUG.fullmatch(slug):
        raise InvalidRequest(f"{slug!r} is not a valid organization ID. Use up to 64 characters: a-z, 0-9 and '-'.")
    name = _name(name)
    if session.scalar(select(Organization.id).where(Organization.slug == slug)):
        raise NotPossible(f"An organization {slug} already exists.")
    organization = Organization(slug=slug, name=name, is_lab=is_lab, created_at=at)
    session.add(organization)
    session.flush()
    session.add(Quota(organization_id=organization.id))
    return organization


def rename(use: Resources, caller: Caller, slug: str, name: str) -> Organization:
    """Change the name that people read. The slug stays, by which the log knows it. Its own name again is no act."""
    caller.require(Permission.ORGANIZATION_MANAGE)
    name = _name(name)
    with use.database.transaction() as session:
        organization = get(session, slug, lock=True)
        if organization.name != name:
            organization.name = name
            _record(session, caller, EntryKind.ORGANIZATION_RENAME, organization, use.clock(), name=name)
        return organization


def _name(name: str) -> str:
    name = name.strip()
    if hidden := unseen(name):  # mails and signed copies quote it
        raise InvalidRequest(f"The organization's name contains a character that cannot be seen: {hidden}.")
    if not name or len(name) > 200:
        raise InvalidRequest("Enter the organization's name on one line, in 200 characters or fewer.")
    return name


def looking_like(use: Resources, caller: Caller, made: Organization) -> list[tuple[str, str]]:
    """Id and name of each other organization whose name looks like this one's: one could be cleared for the other."""
    caller.require(Permission.ORGANIZATION_MANAGE)
    with use.database.reading() as session:
        others = session.execute(select(Organization.slug, Organization.name).where(Organization.id != made.id))
        return look_alikes.of(made.name, [(slug, name) for slug, name in others])


def require_limits(bytes_per_day: int | None, requests_per_minute: int | None) -> None:
    """Raise InvalidRequest for what is no limit; None: none."""
    for value, most in ((bytes_per_day, 2**53 - 1), (requests_per_minute, REQUESTS_PER_MINUTE_AT_MOST)):
        if value is not None and not 0 < value <= most:
            raise InvalidRequest(f"A limit is a whole number from 1 to {most}. Omit it for no limit.")


def raises_beyond(session: Session, slug: str, bytes_per_day: int | None, alone_up_to: int) -> bool:
    """Whether a new quota is higher than the present one, and than one admin may set; no limit is beyond any."""
    before = session.get_one(Quota, get(session, slug).id, with_for_update=True).bytes_per_day
    raised = before is not None and (bytes_per_day is None or bytes_per_day > before)
    return raised and (bytes_per_day is None or bytes_per_day > alone_up_to)


def set_quota_in(
    session: Session, use: Resources, caller: Caller, slug: str, *, bytes_per_day: int | None,
    requests_per_minute: int | None, proposal: int | None = None,
) -> None:  # fmt: skip
    """Replace an organization's limits; None removes one. Limits as they are already are no act.

    proposal: by which two admins let it happen. Whether one may alone is for `operation/carrying_out.py` to say.
    """
    caller.require(Permission.ORGANIZATION_MANAGE)
    organization = get(session, slug)
    quota = session.get_one(Quota, organization.id, with_for_update=True)
    if (quota.bytes_per_day, quota.requests_per_minute) == (bytes_per_day, requests_per_minute):
        return
    quota.bytes_per_day, quota.requests_per_minute = bytes_per_day, requests_per_minute
    told = {
        "bytes_per_day": bytes_per_day, "requests_per_minute": requests_per_minute,
        "alone_up_to": use.settings.quota_alone_bytes_per_day,
    }  # fmt: skip
    if proposal is not None:
        told["proposal"] = proposal
    _record(session, caller, EntryKind.ORGANIZATION_QUOTA, organization, use.clock(), **told)


def set_networks(use: Resources, caller: Caller, slug: str, networks: Collection[str]) -> list[str]:
    """Replace the networks that an organization fetches from, and return them as they are kept.

    None: each download is held against who asked for it.
    """
    caller.require(Permission.ORGANIZATION_MANAGE)
    text = " ".join(sorted({_network(network) for network in networks}))
    if len(text) > 1000:
        raise InvalidRequest("Too many networks. The maximum is about 50.")
    with use.database.transaction() as session:
        organization = get(session, slug, lock=True)
        if organization.networks != text:
            organization.networks = text
            _record(session, caller, EntryKind.ORGANIZATION_NETWORKS, organization, use.clock(), networks=text)
        return text.split()


def _network(text: str) -> str:
    try:
        network = addresses.network(text)
    except ValueError as error:
        raise InvalidRequest(f"{text[:60]!r}: {error}.") from None
    if network.prefixlen == 0:
        raise InvalidRequest(
            "This range includes every address, so no alarm would ever be raised. Register no network instead."
        )
    return str(network)


def visible(session: Session, caller: Caller, part: Slice) -> Page[Organization]:
    """One's own organization; for staff all of them."""
    query = select(Organization)
    if not caller.is_staff:
        query = query.where(Organization.id == caller.organization_id)
    return page(session, query, Organization.id, part)


def listed(
    session: Session, caller: Caller, part: Slice, *, named: str = "", by_slug: bool = False
) -> Page[Organization]:
    """Every organization, newest first or by slug; to a partner, itself. named: what its slug or its name has in it."""
    caller.require(Permission.ORGANIZATION_READ)
    query = select(Organization).where(*caller.within(Organization.id), *([like(named)] if named else []))
    if not by_slug:
        return page(session, query, Organization.id, part, newest_first=True)
    if part.after is not None:
        last = select(Organization.slug).where(Organization.id == part.after).scalar_subquery()
        query = query.where(Organization.slug > last)
    return cut(session.scalars(query.order_by(Organization.slug).limit(part.limit + 1)).all(), part)


def like(named: str) -> ColumnElement[bool]:
    """Whether an organization's slug or name has a text in it, in capitals or not."""
    text = named.casefold()
    in_slug = Organization.slug.contains(text, autoescape=True)
    return in_slug | Folded(Organization.name).contains(text, autoescape=True)


def partners(session: Session, caller: Caller, at_most: int) -> Sequence[Row[str, str]]:
    """`slug` and `name` of the newest partners, to choose from; to a partner, of itself."""
    caller.require(Permission.ORGANIZATION_READ)
    query = select(Organization.slug, Organization.name).where(~Organization.is_lab, *caller.within(Organization.id))
    return session.execute(query.order_by(Organization.id.desc()).limit(at_most)).all()


def find(session: Session, caller: Caller, slug: str | None) -> Organization:
    """One's own organization; for staff any. Raises NotFound, also for another one that is there."""
    caller.require(Permission.ORGANIZATION_READ)
    if not caller.is_staff and slug != caller.organization:
        raise NotFound(f"There is no organization {slug}.")
    return get(session, slug or "")


def of_id(session: Session, caller: Caller, organization_id: int) -> Organization:
    """The organization that another row belongs to. Raises NotFound."""
    caller.require(Permission.ORGANIZATION_READ)
    query = select(Organization).where(Organization.id == organization_id, *caller.within(Organization.id))
    organization = session.scalar(query)
    if organization is None:
        raise NotFound("There is no such organization.")
    return organization


def quota_of(session: Session, organization: Organization) -> Quota:
    return session.get_one(Quota, organization.id)


def get(session: Session, slug: str, *, lock: bool = False) -> Organization:
    """Any organization, for acts of domain, whose caller was checked by them. Raises NotFound."""
    query = select(Organization).where(Organization.slug == slug)
    # What is no id is the id of nothing; PostgreSQL would not even be asked about a NUL.
    organization = session.scalar(query.with_for_update() if lock else query) if SLUG.fullmatch(slug) else None
    if organization is None:
        raise NotFound(f"There is no organization {slug}.")
    return organization


def _record(
    session: Session, caller: Caller, kind: EntryKind, about: Organization, at: datetime, **more: str | int | None
) -> None:
    record = {"actor": caller.as_record(), "organization": about.slug, **more}
    acts.append(session, kind, at, record, organization_id=about.id)
