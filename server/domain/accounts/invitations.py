"""Invitations: an owner or an admin names an e-mail address; whoever reads its mail becomes a person."""

import base64
import hashlib
import hmac
import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, ForeignKey, Index, LargeBinary, String, func, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server import dates
from server.domain import acts
from server.domain.accounts import accepted_identities, ceremonies, factors, granting, identity_links
from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.provider_ceremonies import attempt, client
from server.domain.accounts.provider_sign_in import FACTOR
from server.domain.accounts.sign_in import SignedIn
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import IdentityNotAccepted, NotFound, NotPermitted, NotPossible, OrganizationSuspended
from server.domain.identity import email_addresses, organizations, people, sessions
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.mail import mails
from server.domain.paging import Page, Slice, page
from server.domain.permissions import POLICY, Permission, Role
from server.domain.resources import Resources
from server.identity_providers import IdentityProvider, only_way_in
from server.storage.database import Base, Key, Moment

LIFETIME = timedelta(days=7)
# An organization's: our mail server is not for writing to the whole world, nor to one person all day.
OPEN_AT_MOST = 100
SENT_A_DAY_AT_MOST = 100
SENT_A_DAY_TO_ONE_AT_MOST = 5
State = Literal["open", "accepted", "withdrawn", "expired"]


class Invitation(Base):
    """Works once, until it expires or is withdrawn. The link holds the secret; here stands its hash."""

    __tablename__ = "invitations"
    __table_args__ = (Index("ix_invitations_organization_id_id", "organization_id", "id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[Role] = mapped_column(String(16))
    invited_by: Mapped[int] = mapped_column(ForeignKey("people.id"))
    invited_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    accepted_at: Mapped[datetime | None] = mapped_column(Moment)
    withdrawn_at: Mapped[datetime | None] = mapped_column(Moment)
    organization: Mapped[Organization] = relationship()
    inviter: Mapped[Person] = relationship()

    def state_at(self, moment: datetime) -> State:
        """An invitation of somebody who could not invite any more is as good as withdrawn."""
        if self.accepted_at is not None:
            return "accepted"
        if self.withdrawn_at is not None:
            return "withdrawn"
        if moment >= self.expires_at:
            return "expired"
        may_invite = self.inviter.disabled_at is None and self.inviter.role in POLICY[Permission.PERSON_MANAGE].roles
        return "open" if may_invite else "withdrawn"


def invite(use: Resources, caller: Caller, organization_slug: str, email: str, role: Role) -> Invitation:
    """Send somebody a link that makes them a person: an owner in the own organization, an admin anywhere.

    Raises NotFound, InvalidRequest (no address, no such role there), NotPossible (a person or invited already).
    """
    caller.require(Permission.PERSON_MANAGE)
    with use.database.transaction() as session:
        home = _managed_home(session, caller, organization_slug)
        return _invite(session, use, caller, home, email_addresses.stored(email), role, use.clock())


def resend(use: Resources, caller: Caller, invitation_id: int) -> Invitation:
    """Invite the same person anew, for the full time: the link that they have is worthless from then on."""
    caller.require(Permission.PERSON_MANAGE)
    with use.database.transaction() as session:
        old = _managed(session, caller, invitation_id)
        home = _managed_home(session, caller, old.organization.slug)
        session.refresh(old, with_for_update=True)
        at = use.clock()
        if old.accepted_at is not None or old.withdrawn_at is not None:
            raise NotPossible(f"The invitation for {old.email} is already {old.state_at(at)}.")
        if old.state_at(at) != "expired":
            _withdraw(session, caller, old, at)
            session.flush()
        return _invite(session, use, caller, home, old.email, Role(old.role), at)


def withdraw(use: Resources, caller: Caller, invitation_id: int) -> None:
    """Make an invitation's link worthless. Raises NotFound for another organization's, NotPossible when it is over."""
    caller.require(Permission.PERSON_MANAGE)
    with use.database.transaction() as session:
        invitation = _managed(session, caller, invitation_id, lock=True)
        at = use.clock()
        # One that its inviter's own end has closed blocks a new one to the same address: it can be withdrawn.
        if (state := invitation.state_at(at)) != "open" and (state != "withdrawn" or invitation.withdrawn_at):
            raise NotPossible(f"The invitation for {invitation.email} is already {state}.")
        _withdraw(session, caller, invitation, at)


def of_organization(
    session: Session, caller: Caller, organization_id: int, part: Slice, *, waiting_at: datetime | None = None
) -> Page[Invitation]:
    """An organization's invitations, newest first; for its owners, and for admins. waiting_at: only those not over."""
    caller.require(Permission.PERSON_MANAGE)
    if caller.role is not Role.ADMIN and caller.organization_id != organization_id:
        raise NotFound("There is no such organization.")
    query = (
        select(Invitation)
        .where(Invitation.organization_id == organization_id)
        .options(joinedload(Invitation.inviter), joinedload(Invitation.organization))
    )
    if waiting_at is not None:
        query = query.where(*_waiting(waiting_at))
    return page(session, query, Invitation.id, part, newest_first=True)


def find(session: Session, secret: str) -> Invitation | None:
    """The invitation of a link, in whatever state it is."""
    query = select(Invitation).where(Invitation.secret_sha256 == sessions.sha256(secret))
    return session.scalar(query.options(joinedload(Invitation.inviter), joinedload(Invitation.organization)))


def totp_secret(use: Resources, secret: str) -> str:
    """The secret that an invited person's app gets: the same each time the page is loaded, and no one else's."""
    made = hmac.digest(use.secret, b"weightgate invitation totp\n" + sessions.sha256(secret), hashlib.sha256)
    return base64.b32encode(made[:20]).decode()


def accept(use: Resources, stranger: Caller, secret: str, name: str, password: str, code: str) -> SignedIn:
    """Make the invited person, whose app has shown a right code, and sign them in; of the lab with a role that waits.

    Raises NotFound, NotPossible (it is over; there is such a person), InvalidRequest, OrganizationSuspended.
    """
    with use.database.reading() as session:  # hashing is slow on purpose: not for whoever knows no link
        _known(find(session, secret))
    hashed = people.hash_password(password)  # before the transaction
    with use.database.transaction() as session:
        invitation, at = _require_open(session, use, secret)
        if (provider := only_way_in(use.settings.identity_providers, invitation.organization.slug)) is not None:
            raise NotPermitted(
                f"People of {invitation.organization.name} sign in with {provider.name} only.",
                next_step=f"Open the link in the email again, and choose “Continue with {provider.name}”.",
            )
        totp = totp_secret(use, secret)
        step = factors.require_step(totp, code, at)
        person, told = _join(session, use, invitation, name, hashed, totp, at)
        person.totp_step = step
        signed_in = sessions.begin(session, stranger, person.id, "totp", at)
        _record_accepted(session, stranger, person, invitation, told, at)
        return SignedIn(signed_in, Role(person.role), person.email)


def accept_with_identity(use: Resources, stranger: Caller, ceremony: str | None, name: str, code: str) -> SignedIn:
    """The same for somebody who comes by an identity provider: no password, and an app only where it is not trusted
    with the second factor. Nobody's address is compared: the link and the identity decide.

    Raises what `accept` raises, and IdentityNotAccepted.
    """
    hashed = people.hash_password(people.new_password())  # that nobody is told: before the transaction
    begun = attempt(use, ceremony, Kind.PROVIDER_ACCEPT)
    accepted = accepted_identities.read(use, begun)
    provider = accepted.provider
    with use.database.transaction() as session:
        invitation, at = _require_open(session, use, accepted.invitation)
        _require_signed_in_by(provider, invitation)
        ceremonies.finish(session, begun, at)
        totp, step = None, None
        if not accepted.has_second_factor:
            totp = totp_secret(use, accepted.invitation)
            step = factors.require_step(totp, code, at)
        person, told = _join(session, use, invitation, name, hashed, totp, at)
        person.totp_step, person.has_password, person.has_app = step, False, totp is not None
        identity = identity_links.add(session, person, provider, accepted.subject, at)
        identity.used_at = at
        factor = FACTOR if totp is None else "totp"
        signed_in = sessions.begin(session, stranger, person.id, factor, at, provider.issuer)
        caller = _record_accepted(session, stranger, person, invitation, told, at)
        identity_links.record_accepted(session, caller, person, identity, at)
        return SignedIn(signed_in, Role(person.role), person.email)


def require_known(session: Session, secret: str) -> Invitation:
    """The same. Raises NotFound where there is none."""
    return _known(find(session, secret))


def require_provider(session: Session, use: Resources, secret: str, provider_id: str) -> None:
    """Raise NotFound or IdentityNotAccepted unless the invited person can come by this provider."""
    _require_signed_in_by(client(use, provider_id).provider, require_known(session, secret))


def _require_signed_in_by(provider: IdentityProvider, invitation: Invitation) -> None:
    if invitation.organization.slug not in provider.organizations:
        raise IdentityNotAccepted(
            f"{provider.name} does not sign in people of {invitation.organization.name}.",
            next_step="Open the link in the email again, and choose another way.",
        )


def _require_open(session: Session, use: Resources, secret: str) -> tuple[Invitation, datetime]:
    """The invitation, locked, and the time then."""
    invitation = _lock(session, secret)
    at = use.clock()
    if (state := invitation.state_at(at)) != "open":
        raise NotPossible(f"This invitation is {state}.", next_step="Ask the person who invited you for a new one.")
    if invitation.organization.suspended_at is not None:
        raise OrganizationSuspended
    return invitation, at


def _join(
    session: Session, use: Resources, invitation: Invitation, name: str, password_hash: str, totp: str | None,
    at: datetime,
) -> tuple[Person, dict[str, str | int]]:  # fmt: skip
    """Make the person; returns what the entry tells of a role in the lab, which waits."""
    home, wanted = invitation.organization, Role(invitation.role)
    role = Role.PENDING if home.is_lab else wanted
    person, _ = people.create(session, use, home, invitation.email, name, role, password_hash, totp)
    invitation.accepted_at = at
    told = granting.propose_in(session, use, person, wanted, invitation.inviter, at) if home.is_lab else {}
    return person, told


def _record_accepted(
    session: Session, stranger: Caller, person: Person, invitation: Invitation, told: dict[str, str | int],
    at: datetime,
) -> Caller:  # fmt: skip
    """Append it; returns who acted."""
    caller = replace(stranger, via="session", organization=invitation.organization.slug, person=person.email)
    kind = EntryKind.PERSON_ACCEPT_INVITATION
    people.record(session, caller, kind, person, at, invitation=invitation.id, **told)
    return caller


def _managed(session: Session, caller: Caller, invitation_id: int, *, lock: bool = False) -> Invitation:
    query = select(Invitation).where(Invitation.id == invitation_id)
    if caller.role is not Role.ADMIN:
        query = query.where(Invitation.organization_id == caller.organization_id)
    invitation = session.scalar(query.with_for_update() if lock else query)
    if invitation is None:
        raise NotFound("There is no such invitation.", next_step="The list of people shows open invitations.")
    return invitation


def _invite(
    session: Session, use: Resources, caller: Caller, home: Organization, email: str, role: Role, at: datetime
) -> Invitation:
    people.require_fit(home, role)
    _require_new(session, caller, home, email, at)
    secret = secrets.token_urlsafe(32)
    invitation = Invitation(
        secret_sha256=sessions.sha256(secret), organization_id=home.id, email=email, role=role,
        invited_by=caller.person_id, invited_at=at, expires_at=at + LIFETIME, organization=home,
        inviter=session.get_one(Person, caller.person_id),
    )  # fmt: skip
    session.add(invitation)
    session.flush()
    _mail(session, use, caller, invitation, secret, at)
    _record(session, caller, EntryKind.INVITATION_INVITE, invitation, at)
    return invitation


def _withdraw(session: Session, caller: Caller, invitation: Invitation, at: datetime) -> None:
    invitation.withdrawn_at = at
    _record(session, caller, EntryKind.INVITATION_WITHDRAW, invitation, at)


def _lock(session: Session, secret: str) -> Invitation:
    query = select(Invitation).where(Invitation.secret_sha256 == sessions.sha256(secret)).with_for_update()
    return _known(session.scalar(query))


def _known(invitation: Invitation | None) -> Invitation:
    if invitation is None:
        raise NotFound("There is no such invitation.", next_step="Ask the person who invited you for a new one.")
    return invitation


def _managed_home(session: Session, caller: Caller, slug: str) -> Organization:
    """Locked: of two who invite the same address at once, one does."""
    if caller.role is not Role.ADMIN and slug != caller.organization:
        raise NotFound(f"There is no organization {slug}.")
    return organizations.get(session, slug, lock=True)


def _require_new(session: Session, caller: Caller, home: Organization, email: str, at: datetime) -> None:
    """An owner learns only of the own organization's people; whoever is another's reads it on the invitation's page."""
    person = session.scalar(select(Person).where(people.known_as(email)))
    if person is not None and (caller.role is Role.ADMIN or person.organization_id == home.id):
        people.require_new(session, email, caller)
    waiting = select(func.count()).where(Invitation.organization_id == home.id, *_waiting(at))
    if session.scalar(waiting.where(Invitation.email == email)):
        raise NotPossible(
            f"{email} has already been invited.", next_step="To send another email, resend that invitation."
        )
    if (session.scalar(waiting) or 0) >= OPEN_AT_MOST:
        raise NotPossible(
            f"There are already {OPEN_AT_MOST} open invitations.", next_step="Withdraw some of them first."
        )
    sent = select(func.count()).where(
        Invitation.organization_id == home.id, Invitation.invited_at > at - timedelta(days=1)
    )
    to_one = session.scalar(sent.where(Invitation.email == email)) or 0
    if to_one >= SENT_A_DAY_TO_ONE_AT_MOST or (session.scalar(sent) or 0) >= SENT_A_DAY_AT_MOST:
        raise NotPossible("Too many invitations were sent in the last 24 hours.", next_step="Try again tomorrow.")


def _waiting(at: datetime) -> tuple[ColumnElement[bool], ...]:
    return Invitation.accepted_at.is_(None), Invitation.withdrawn_at.is_(None), Invitation.expires_at > at


def _mail(session: Session, use: Resources, caller: Caller, invitation: Invitation, secret: str, at: datetime) -> None:
    home = invitation.organization
    text = (
        f"Open this page to choose a password and set up your second factor:\n"
        f"{use.settings.public_url}/invitations/{secret}\n\n"
        f"{caller.person} invites you to Weightgate, for {home.name}, as {invitation.role}.\n"
        f"The link works once and expires on {dates.minute(invitation.expires_at)}. If you did not expect "
        "this email, you can ignore it."
    )
    mails.queue(session, use, "invitation", invitation.email, f"You are invited to {home.name}", text, at)


def _record(session: Session, caller: Caller, kind: EntryKind, about: Invitation, at: datetime) -> None:
    record = {
        "actor": caller.as_record(), "invitation": about.id, "person": about.email, "role": str(about.role),
        "organization": about.organization.slug,
    }  # fmt: skip
    acts.append(session, kind, at, record, organization_id=about.organization_id)
