"""People: who acts, in which organization and role, and how they prove it."""

import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

import argon2
import pyotp
from sqlalchemy import ColumnElement, ForeignKey, Index, LargeBinary, String, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain import acts
from server.domain.callers import HANDED, Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import (
    InvalidCredentials,
    InvalidRequest,
    NotFound,
    NotPermitted,
    NotPossible,
    OrganizationSuspended,
    PersonDisabled,
    TooManyAttempts,
)
from server.domain.identity import email_addresses, known_credentials, organizations, sessions, tokens
from server.domain.identity.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import PARTNERS, STAFF, Permission, Role
from server.domain.resources import Resources
from server.storage import keys
from server.storage.database import Base, Key, Moment
from server.text import unseen

PASSWORD_CHARACTERS_AT_LEAST = 15
PASSWORD_CHARACTERS_AT_MOST = 256  # hashing longer ones would only serve whoever wants to keep us busy
_hasher = argon2.PasswordHasher()  # argon2id, RFC 9106's second recommendation
_hashing = threading.BoundedSemaphore(2)  # 64 MiB each: more at once would be a way to exhaust the machine
_asking = threading.BoundedSemaphore(4)  # those who hash and those who wait for it: other threads have other work
BUSY_SECONDS = 2
# Verified when there is no such person, so that both answers take as long.
_NOBODY = _hasher.hash(secrets.token_urlsafe(24))


class Person(Base):
    """Somebody with a role in one organization. Clearances belong to the organization, never to a person."""

    __tablename__ = "people"
    __table_args__ = (
        Index("ix_people_organization_id_id", "organization_id", "id"),
        Index("ix_people_email_name", "email", "name"),  # whoever looks for a part of a name looks at all of them
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    email: Mapped[str] = mapped_column(String(254), unique=True)  # as `email_addresses.stored` gives it
    name: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(String(16))
    password_hash: Mapped[str] = mapped_column(String(200))
    totp_secret_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    totp_step: Mapped[int | None] = mapped_column(Key)  # the time step of the last accepted code: none works twice
    created_at: Mapped[datetime] = mapped_column(Moment)
    disabled_at: Mapped[datetime | None] = mapped_column(Moment)
    disabled_by_lab: Mapped[bool] = mapped_column(default=False)  # then no owner enables them again
    # Still as another person was shown them, who made the account: until both are replaced, it can do nothing else.
    password_is_handed: Mapped[bool] = mapped_column(default=False)
    app_is_handed: Mapped[bool] = mapped_column(default=False)
    has_password: Mapped[bool] = mapped_column(default=True)  # else the hash is of what nobody was ever told
    has_app: Mapped[bool] = mapped_column(default=True)  # the same of the TOTP secret
    organization: Mapped[Organization] = relationship()

    @property
    def is_handed(self) -> bool:
        return self.password_is_handed or self.app_is_handed


def prove(use: Resources, email: str, password: str) -> Person:
    """Return whose password this is.

    Raises InvalidCredentials, alike in text and time for an unknown person and a wrong password; then PersonDisabled
    and OrganizationSuspended.
    """
    with use.database.reading() as session:
        known = select(Person).where(known_as(email)).options(joinedload(Person.organization))
        person = session.scalar(known)
    if not is_password_of(person, password) or person is None:
        raise InvalidCredentials("Incorrect email address or password.", next_step="Try again.")
    if person.disabled_at is not None:
        raise PersonDisabled
    if person.organization.suspended_at is not None:
        raise OrganizationSuspended
    if _hasher.check_needs_rehash(person.password_hash):
        _renew(use, person, password)
    return person


def sign_in_for_command(use: Resources, email: str, password: str) -> Caller:
    """Prove a person for one act on the operator's command line. Raises what `prove` raises, and NotPermitted."""
    person = prove(use, email, password)
    if person.role == Role.PENDING:
        raise NotPermitted(
            "Your role waits for a second admin. Until then you can only set up your account, in the portal.",
            next_step="Ask an admin other than the one who proposed it: `person approve`.",
        )
    if person.is_handed:
        raise NotPermitted(HANDED, next_step=f"Sign in at {use.settings.public_url} and replace both. Then try again.")
    return Caller(
        via="cli", organization_id=person.organization_id, organization=person.organization.slug,
        person_id=person.id, person=person.email, role=Role(person.role),
    )  # fmt: skip


def add(
    use: Resources, caller: Caller, organization: str, email: str, name: str, role: Role, password: str | None = None
) -> tuple[str, str]:
    """Add a person to a partner. Returns the password and the TOTP secret: shown once and kept nowhere in clear.

    password: the person's own. None: one is made, and they must replace it and their app before anything else.
    Raises NotPossible for the lab, whose roles two people give: see `accounts/granting.py`.
    """
    handed = password is None
    password = new_password() if password is None else password
    hashed = hash_password(password)  # before the transaction: hashing is slow on purpose
    with use.database.transaction() as session:
        home = managed_home(session, caller, organization)
        require_fit(home, role)
        if home.is_lab:
            raise NotPossible("One person alone cannot add someone to the lab.")
        require_new(session, email, caller)
        person, totp_secret = create(session, use, home, email, name, role, hashed, handed=handed)
        at = use.clock()
        known_credentials.note(session, person.id, caller.person_id, at)
        record(session, caller, EntryKind.PERSON_ADD, person, at, handed=handed)
    return password, totp_secret


def managed_home(session: Session, caller: Caller, slug: str) -> Organization:
    """The organization, of which the caller manages the people. Raises NotFound, NotPermitted."""
    home = organizations.get(session, slug)
    _require_manager(caller, home.id)
    return home


def create(
    session: Session, use: Resources, home: Organization, email: str, name: str, role: Role, password_hash: str,
    totp_secret: str | None = None, *, handed: bool = False,
) -> tuple[Person, str]:  # fmt: skip
    """Insert a person; see `add`. Used alone by `init`, for the first two admins, for the lab, and for who was invited.

    totp_secret: the one that the person set up already; otherwise one is made. handed: they must replace both.
    """
    email = email_addresses.stored(email)
    if role is not Role.PENDING or not home.is_lab:
        require_fit(home, role)
    name = name.strip()
    if hidden := unseen(name):  # mails of ours quote it
        raise InvalidRequest(f"The person's name contains a character that cannot be seen: {hidden}.")
    if not name or len(name) > 200:
        raise InvalidRequest("Enter the person's name on one line, in 200 characters or fewer.")
    require_new(session, email)
    totp_secret = pyotp.random_base32() if totp_secret is None else totp_secret
    person = Person(
        organization_id=home.id,
        email=email,
        name=name,
        role=role,
        password_hash=password_hash,
        totp_secret_sealed=keys.seal(use.secret, "totp", totp_secret.encode()),
        created_at=use.clock(),
        password_is_handed=handed,
        app_is_handed=handed,
    )
    session.add(person)
    session.flush()
    return person, totp_secret


def known_as(email: str) -> ColumnElement[bool]:
    """Whose address it is, however it is written."""
    return Person.email.in_(email_addresses.spellings(email))


def require_new(session: Session, email: str, caller: Caller | None = None) -> None:
    """Raise NotPossible for an address that somebody has; a caller who may know of them reads who, and what to do."""
    person = session.scalar(select(Person).where(known_as(email)).options(joinedload(Person.organization)))
    if person is None:
        return
    if caller is None or not (caller.is_staff or caller.organization_id == person.organization_id):
        raise NotPossible(f"{person.email} already has an account.", next_step="Use another address.")
    who = f"{person.name}, {person.role} of {person.organization.slug}"
    if person.disabled_at is not None:
        raise NotPossible(
            f"{person.email} belongs to {who}, whose account is disabled.", next_step="Enable that account instead."
        )
    raise NotPossible(
        f"{person.email} already belongs to {who}.", next_step="Change that person's role, or use another address."
    )


def require_fit(home: Organization, role: Role) -> None:
    """Raise InvalidRequest for a role that the organization does not have."""
    if role not in (STAFF if home.is_lab else PARTNERS):
        raise InvalidRequest(f"The role {role} does not exist in {'the lab' if home.is_lab else 'a partner'}.")


def disable(use: Resources, caller: Caller, email: str) -> int:
    """Stop a person and revoke the tokens they made; returns how many. Take tokens over first to keep them.

    Whom the lab has disabled, it alone enables; it may disable somebody whom their organization has disabled already.
    """
    with use.database.transaction() as session:
        person = managed(session, caller, email)
        if person.disabled_at is not None and (person.disabled_by_lab or not caller.is_staff):
            raise NotPossible(f"{person.email} is already disabled.")
        if caller.person_id == person.id:
            raise NotPossible("You cannot disable your own account. Ask someone else to.")
        require_another(session, person)
        at = use.clock()
        person.disabled_at, person.disabled_by_lab = person.disabled_at or at, caller.is_staff
        revoked = tokens.revoke_made_by(session, person.id, at)
        sessions.end_all(session, person.id, at, "the person was disabled")
        record(session, caller, EntryKind.PERSON_DISABLE, person, at, tokens_revoked=revoked)
        return revoked


def enable(use: Resources, caller: Caller, email: str) -> None:
    """Let a disabled person act again. Their revoked tokens stay revoked."""
    with use.database.transaction() as session:
        person = managed(session, caller, email)
        if person.disabled_at is None:
            raise NotPossible(f"{person.email} is not disabled.")
        if person.disabled_by_lab and not caller.is_staff:
            raise NotPossible(
                "The lab disabled this account, so only the lab can enable it.", next_step="Contact {contact}."
            )
        person.disabled_at, person.disabled_by_lab = None, False
        record(session, caller, EntryKind.PERSON_ENABLE, person, use.clock())


def change_role(use: Resources, caller: Caller, email: str, role: Role) -> None:
    """Make somebody another role of their partner. Never oneself, and never the last who can act as they do.

    Raises NotPossible for somebody of the lab, whose roles two people give: see `accounts/granting.py`.
    """
    with use.database.transaction() as session:
        person = managed(session, caller, email)
        require_fit(person.organization, role)
        if person.organization.is_lab:
            raise NotPossible("One person alone cannot give a role in the lab.")
        if person.role == role:
            raise NotPossible(f"{person.email} already has the role {role}.")
        if caller.person_id == person.id:
            raise NotPossible("You cannot change your own role. Ask someone else to.")
        if person.disabled_at is None:
            require_another(session, person)
        before, person.role = str(person.role), role
        record(session, caller, EntryKind.PERSON_CHANGE_ROLE, person, use.clock(), before=before)


def reset_password(use: Resources, caller: Caller, email: str, password: str | None = None) -> str:
    """Give a person a new password and return it, to be shown once."""
    password = new_password() if password is None else password
    hashed = hash_password(password)
    with use.database.transaction() as session:
        person = managed(session, caller, email)
        person.password_hash, person.has_password = hashed, True
        at = use.clock()
        sessions.end_all(session, person.id, at, "the password was reset")
        known_credentials.note(session, person.id, caller.person_id, at)
        record(session, caller, EntryKind.PERSON_RESET_PASSWORD, person, at)
    return password


def visible(session: Session, caller: Caller, part: Slice) -> Page[Person]:
    """The people of one's own organization; for staff everybody."""
    query = select(Person).options(joinedload(Person.organization)).where(*caller.within(Person.organization_id))
    return page(session, query, Person.id, part)


def of_organization(session: Session, caller: Caller, organization_id: int, part: Slice) -> Page[Person]:
    """The people of an organization; of another one than one's own for staff alone."""
    caller.require(Permission.PERSON_READ)
    query = select(Person).where(Person.organization_id == organization_id, *caller.within(Person.organization_id))
    return page(session, query, Person.id, part)


def by_id(session: Session, caller: Caller, person_id: int) -> Person:
    """Somebody whom the caller may know of. Raises NotFound."""
    caller.require(Permission.PERSON_READ)
    person = session.get(Person, person_id, options=[joinedload(Person.organization)])
    if person is None or not (caller.is_staff or person.organization_id == caller.organization_id):
        raise NotFound("There is no such person.")
    return person


def named(session: Session, caller: Caller, person_ids: Collection[int]) -> dict[int, Person]:
    """Those of these people whom the caller may know of, by id."""
    caller.require(Permission.PERSON_READ)
    query = select(Person).where(Person.id.in_(person_ids), *caller.within(Person.organization_id))
    return {person.id: person for person in session.scalars(query)}


def new_password() -> str:
    return secrets.token_urlsafe(18)


def hash_password(password: str) -> str:
    """argon2id. Raises InvalidRequest when it is too short or too long."""
    if not PASSWORD_CHARACTERS_AT_LEAST <= len(password) <= PASSWORD_CHARACTERS_AT_MOST:
        raise InvalidRequest(
            f"A password must have {PASSWORD_CHARACTERS_AT_LEAST} to {PASSWORD_CHARACTERS_AT_MOST} characters."
        )
    with _turn():
        return _hasher.hash(password)


def is_password_of(person: Person | None, password: str) -> bool:
    """Whether it is; for nobody, and for a text that is too long to be anybody's, the answer takes as long."""
    if len(password) > PASSWORD_CHARACTERS_AT_MOST:
        person, password = None, password[:PASSWORD_CHARACTERS_AT_MOST]
    with _turn():
        try:
            _hasher.verify(person.password_hash if person else _NOBODY, password)
        except argon2.exceptions.VerificationError:
            return False
    return person is not None


def _renew(use: Resources, person: Person, password: str) -> None:
    """Keep a password that was just right under today's parameters; whoever replaced it meanwhile has precedence."""
    try:
        with _turn():
            hashed = _hasher.hash(password)
    except TooManyAttempts:
        return  # at the next sign-in
    same = Person.id == person.id, Person.password_hash == person.password_hash
    with use.database.transaction() as session:
        session.execute(update(Person).where(*same).values(password_hash=hashed))
    person.password_hash = hashed  # where it was not written, the sign-in that goes on from it does not end well


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for a turn to hash, among few: a crowd from everywhere would otherwise hold every thread of the server."""
    if not _asking.acquire(blocking=False):
        raise TooManyAttempts(
            "Too many people are signing in at once. Nothing was checked.",
            retry_after_seconds=BUSY_SECONDS,
        )
    try:
        with _hashing:
            yield
    finally:
        _asking.release()


def managed(session: Session, caller: Caller, email: str) -> Person:
    """Somebody whom the caller manages, locked. Raises NotFound, NotPermitted."""
    # Both are locked, and in one order: two who act on each other would otherwise wait for each other.
    both = select(Person.id).where(or_(known_as(email), Person.email == str(caller.person)))
    session.execute(both.order_by(Person.id).with_for_update())
    person = _by_email(session, email)
    _require_manager(caller, person.organization_id)
    return person


def _by_email(session: Session, email: str) -> Person:
    person = session.scalar(select(Person).where(known_as(email)).with_for_update())
    if person is None:
        raise NotFound(f"There is no person {email}.")
    return person


def _require_manager(caller: Caller, organization_id: int) -> None:
    caller.require(Permission.PERSON_MANAGE)
    if caller.role is not Role.ADMIN and caller.organization_id != organization_id:
        raise NotPermitted("Owners can only manage people in their own organization.")


def require_another(session: Session, person: Person) -> None:
    """The last owner of a partner and the last two admins of the lab stay: nobody could act in their place."""
    if person.role not in {Role.OWNER, Role.ADMIN}:
        return
    # Two who disable each other at the same moment would otherwise both still count the other.
    session.get_one(Organization, person.organization_id, with_for_update={"key_share": True}, populate_existing=True)
    same = select(func.count()).where(
        Person.organization_id == person.organization_id, Person.role == person.role, Person.disabled_at.is_(None)
    )
    kept = 2 if person.role == Role.ADMIN else 1  # `==`: a loaded role is a plain string
    if (session.scalar(same) or 0) <= kept:
        raise NotPossible(f"{person.email} is one of the last people with the role {person.role}. Add another first.")


def record(session: Session, caller: Caller, kind: EntryKind, about: Person, at: datetime, **more: str | int) -> None:
    """Append to the log what was done to a person, or by them for themselves."""
    told = {
        "actor": caller.as_record(), "person": about.email, "person_id": about.id, "role": str(about.role),
        "organization": about.organization.slug, **more,
    }  # fmt: skip
    acts.append(session, kind, at, told, organization_id=about.organization_id)
