"""Authentication: from a token or a session to a caller, and whether they still stand: rows 1 and 2 of the rule."""

from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import String, bindparam, null, select, type_coerce
from sqlalchemy.orm import Session

from server import addresses
from server.domain.callers import Caller, Workload
from server.domain.errors import (
    AuthenticationRequired,
    InvalidCredentials,
    NetworkNotAllowed,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
)
from server.domain.identity import sessions, tokens
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.identity.s3_keys import S3Key
from server.domain.identity.sessions import SignIn
from server.domain.identity.tokens import Token
from server.domain.identity.workload_tokens import WorkloadToken
from server.domain.permissions import Role, Scope
from server.domain.resources import Resources
from server.log import authority
from server.storage.database import Moment
from server.storage.statements import Statement


class Standing(NamedTuple):
    """What rows 1 and 2 of the access rule look at. Of who came without a token, the token's four are None."""

    person_id: int
    disabled_at: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime | None
    networks: str | None
    scopes: str | None
    role: Role


class _KnownToken(NamedTuple):
    """A token, whose it is, and what their standing rests on."""

    id: int
    secret_sha256: bytes
    scopes: str
    email: str
    role: Role
    organization_id: int
    slug: str
    person_id: int
    disabled_at: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime
    networks: str
    trust_record_id: int | None
    subject: str | None
    run: str | None
    generation: str | None


class _KnownSession(NamedTuple):
    """A session, whose it is, and what their standing rests on."""

    id: int
    began_at: datetime
    seen_at: datetime
    proved_at: datetime
    ended_at: datetime | None
    person_id: int
    email: str
    name: str
    role: Role
    organization_id: int
    slug: str
    password_is_handed: bool
    app_is_handed: bool
    disabled_at: datetime | None
    suspended_at: datetime | None


def identify(use: Resources, text: str, stranger: Caller, *, kept: bool = False) -> tuple[Caller, Refused | None]:
    """Return whose token this is, and the refusal if it no longer works. `stranger` is what is known without it.

    Both are returned, since a refusal is recorded with whom it was given to.

    kept: what was read for an earlier request may be used. Trust only a yes, and only if the append finds `known_under`
    to be the generation still.
    """
    public_id = tokens.public_id_of(text)
    if public_id is None:
        return stranger, InvalidCredentials()
    row = _kept.find(use.database, public_id) if kept else None
    is_kept = row is not None
    row = row or _look_up(use, public_id)
    if row is None or not tokens.matches(row.secret_sha256, text):
        return stranger, InvalidCredentials()
    return _of_token(use, public_id, row, stranger, is_kept=is_kept)


def identify_s3_key(use: Resources, key: S3Key, stranger: Caller) -> tuple[Caller, Refused | None]:
    """The same for whoever signed with a key that was made for a token: they are who the token makes them."""
    return identify_id(use, key.token_public_id, stranger)


def identify_id(use: Resources, public_id: str, stranger: Caller) -> tuple[Caller, Refused | None]:
    """The same for whoever has shown already that the token of this id is theirs."""
    row = _look_up(use, public_id)
    if row is None:
        return stranger, InvalidCredentials()
    return _of_token(use, public_id, row, stranger)


def _look_up(use: Resources, public_id: str) -> "_KnownToken | None":
    """Read a token; a person's is kept. Whose identity a workload showed is in a table that has no generation."""
    row = use.database.look_up(_BY_PUBLIC_ID, public_id=public_id)
    if row is not None and row.trust_record_id is None and row.generation is not None:
        _kept.put(use.database, public_id, row)
    return row


def _of_token(
    use: Resources, public_id: str, row: "_KnownToken", stranger: Caller, *, is_kept: bool = False
) -> tuple[Caller, Refused | None]:
    caller = replace(
        stranger,
        via="token",
        organization_id=row.organization_id,
        organization=row.slug,
        person_id=row.person_id,
        person=row.email,
        role=row.role,
        token_id=row.id,
        token_public_id=public_id,
        token_expires_at=row.expires_at,
        known_under=row.generation,
        is_kept=is_kept,
        workload=_workload(row),
        scopes=frozenset(Scope(scope) for scope in row.scopes.split()),
    )
    return caller, _token_fault(row, caller, use.clock()) or _person_fault(row)


def _workload(row: "_KnownToken") -> Workload | None:
    if row.trust_record_id is None or row.subject is None:
        return None
    return Workload(row.trust_record_id, row.subject, row.run)


def identify_session(use: Resources, secret: str, stranger: Caller) -> tuple[Caller, Refused | None]:
    """Return whose session this is, and the refusal if it no longer works. `stranger` is what is known without it."""
    row = use.database.look_up(_BY_SECRET, secret_sha256=sessions.sha256(secret))
    at = use.clock()
    if row is None or sessions.has_ended(row, row.role, at):
        return stranger, AuthenticationRequired("Your session has ended.", next_step="Sign in again.")
    caller = replace(
        stranger,
        via="session",
        organization_id=row.organization_id,
        organization=row.slug,
        person_id=row.person_id,
        person=row.email,
        name=row.name,
        role=row.role,
        session_id=row.id,
        is_handed=row.password_is_handed or row.app_is_handed,
        fresh=at < row.proved_at + sessions.FRESH_FOR,
    )
    if at >= row.seen_at + sessions.TOUCH_EVERY:
        sessions.touch(use, row.id, at)
    return caller, _person_fault(row)


def standing(session: Session, caller: Caller, *, lock: bool) -> Standing | None:
    """Read what the caller's standing rests on: token, person, organization. `lock` keeps them as they are until the
    transaction ends."""
    if caller.token_id is not None:
        return _BY_TOKEN.first(session, lock=lock, token_id=caller.token_id)
    if caller.person_id is not None:
        return _BY_PERSON.first(session, lock=lock, person_id=caller.person_id)
    return None


def fault(standing: Standing | None, caller: Caller, at: datetime) -> Refused | None:
    """Rows 1 and 2 of the access rule, at one instant. A caller whose rows are gone is nobody."""
    if caller.organization_id is None:  # nobody: what they may have is for the rest of the rule
        return None
    if standing is None:
        return InvalidCredentials()
    refused = None if caller.token_id is None else _token_fault(standing, caller, at)
    if frozenset((standing.scopes or "").split()) != caller.scopes:
        refused = refused or InvalidCredentials("The token's scopes were changed during this request. Try again.")
    if standing.role != caller.role:
        refused = refused or InvalidCredentials("Your role was changed during this request. Try again.")
    return refused or _person_fault(standing)


def _token_fault(row: Standing | _KnownToken, caller: Caller, at: datetime) -> Refused | None:
    if row.person_id != caller.person_id:
        return InvalidCredentials("The token was taken over during this request. Try again.")
    if row.revoked_at is not None:
        return InvalidCredentials("The token was revoked.")
    if row.expires_at is None or at >= row.expires_at:
        return InvalidCredentials("The token has expired.")
    if row.networks and not addresses.lies_in(row.networks.split(), caller.address):
        return NetworkNotAllowed()
    return None


def _person_fault(row: Standing | _KnownToken | _KnownSession) -> Refused | None:
    if row.suspended_at is not None:
        return OrganizationSuspended()
    return None if row.disabled_at is None else PersonDisabled()


_kept = authority.Kept[_KnownToken]()
_PERSON_STANDING = (Person.disabled_at, Organization.suspended_at)
_TOKEN_STANDING = (Person.id.label("person_id"), *_PERSON_STANDING, Token.revoked_at, Token.expires_at, Token.networks)
_NO_TOKEN = (
    type_coerce(null(), Moment).label("revoked_at"),
    type_coerce(null(), Moment).label("expires_at"),
    type_coerce(null(), String).label("networks"),
    type_coerce(null(), String).label("scopes"),
)
_BY_PUBLIC_ID = Statement(
    select(
        Token.id, Token.secret_sha256, Token.scopes, Person.email, Person.role,
        Organization.id.label("organization_id"), Organization.slug, *_TOKEN_STANDING,
        WorkloadToken.trust_record_id, WorkloadToken.subject, WorkloadToken.run, authority.GENERATION,
    )
    .join(Person, Person.id == Token.person_id)
    .join(Organization, Organization.id == Token.organization_id)
    .outerjoin(WorkloadToken, WorkloadToken.token_id == Token.id)
    .where(Token.public_id == bindparam("public_id")),
    _KnownToken,
)  # fmt: skip
_BY_TOKEN = Statement(
    select(*_TOKEN_STANDING, Token.scopes, Person.role)
    .select_from(Token)
    .join(Person, Person.id == Token.person_id)
    .join(Organization, Organization.id == Token.organization_id)
    .where(Token.id == bindparam("token_id")),
    Standing,
    # Locked in this order, which is that of disabling a person: else the two could wait for each other.
    share=[Person, Organization, Token],
)
_BY_SECRET = Statement(
    select(
        SignIn.id, SignIn.began_at, SignIn.seen_at, SignIn.proved_at, SignIn.ended_at,
        Person.id.label("person_id"), Person.email, Person.name, Person.role,
        Organization.id.label("organization_id"), Organization.slug,
        Person.password_is_handed, Person.app_is_handed, *_PERSON_STANDING,
    )
    .join(Person, Person.id == SignIn.person_id)
    .join(Organization, Organization.id == Person.organization_id)
    .where(SignIn.secret_sha256 == bindparam("secret_sha256")),
    _KnownSession,
)  # fmt: skip
_BY_PERSON = Statement(
    select(Person.id.label("person_id"), *_PERSON_STANDING, *_NO_TOKEN, Person.role)
    .join(Organization, Organization.id == Person.organization_id)
    .where(Person.id == bindparam("person_id")),
    Standing,
    share=[Person, Organization],
)
