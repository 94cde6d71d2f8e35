"""Authentication: from a token or a session to a caller, and whether they still stand: rows 1 and 2 of the rule."""

import ipaddress
from dataclasses import replace
from datetime import datetime

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from server import addresses
from server.domain.callers import Caller
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
from server.domain.identity.sessions import SignIn
from server.domain.identity.tokens import Token
from server.domain.permissions import Role, Scope
from server.domain.resources import Resources
from server.storage.database import AnyRow
from server.storage.statements import Statement


def identify(use: Resources, text: str, stranger: Caller) -> tuple[Caller, Refused | None]:
    """Return whose token this is, and the refusal if it no longer works. `stranger` is what is known without it.

    Both are returned, since a refusal is recorded with whom it was given to.
    """
    public_id = tokens.public_id_of(text)
    if public_id is None:
        return stranger, InvalidCredentials()
    row = use.database.look_up(_BY_PUBLIC_ID, public_id=public_id)
    if row is None or not tokens.matches(row.secret_sha256, text):
        return stranger, InvalidCredentials()
    caller = replace(
        stranger,
        via="token",
        organization_id=row.organization_id,
        organization=row.slug,
        person_id=row.person_id,
        person=row.email,
        role=Role(row.role),
        token_id=row.id,
        token_public_id=public_id,
        scopes=frozenset(Scope(scope) for scope in row.scopes.split()),
    )
    return caller, _fault(row, caller, use.clock())


def identify_session(use: Resources, secret: str, stranger: Caller) -> tuple[Caller, Refused | None]:
    """Return whose session this is, and the refusal if it no longer works. `stranger` is what is known without it."""
    row = use.database.look_up(_BY_SECRET, secret_sha256=sessions.sha256(secret))
    at = use.clock()
    if row is None or sessions.is_over(row, at):
        return stranger, AuthenticationRequired("Your session has ended.", next_step="Sign in again.")
    caller = replace(
        stranger,
        via="session",
        organization_id=row.organization_id,
        organization=row.slug,
        person_id=row.person_id,
        person=row.email,
        name=row.name,
        role=Role(row.role),
        session_id=row.id,
        fresh=at < row.proved_at + sessions.FRESH_FOR,
    )
    if at >= row.seen_at + sessions.TOUCH_EVERY:
        sessions.touch(use, row.id, at)
    return caller, _fault(row, caller, at)


def standing(session: Session, caller: Caller, *, lock: bool) -> AnyRow | None:
    """Read what the caller's standing rests on: token, person, organization. `lock` keeps them as they are until the
    transaction ends."""
    if caller.token_id is not None:
        return _BY_TOKEN.first(session, lock=lock, token_id=caller.token_id)
    if caller.person_id is not None:
        return _BY_PERSON.first(session, lock=lock, person_id=caller.person_id)
    return None


def fault(standing: AnyRow | None, caller: Caller, at: datetime) -> Refused | None:
    """Rows 1 and 2 of the access rule, at one instant. A caller whose rows are gone is nobody."""
    if caller.organization_id is None:  # nobody: what they may have is for the rest of the rule
        return None
    return InvalidCredentials() if standing is None else _fault(standing, caller, at)


_TOKEN = (
    select(
        Token.id,
        Token.secret_sha256,
        Token.scopes,
        Token.networks,
        Token.expires_at,
        Token.revoked_at,
        Person.id.label("person_id"),
        Person.email,
        Person.role,
        Person.disabled_at,
        Organization.id.label("organization_id"),
        Organization.slug,
        Organization.suspended_at,
    )
    .join(Person, Person.id == Token.person_id)
    .join(Organization, Organization.id == Token.organization_id)
)
_BY_PUBLIC_ID = Statement(_TOKEN.where(Token.public_id == bindparam("public_id")))
# Locked in this order, which is that of disabling a person: else the two could wait for each other.
_BY_TOKEN = Statement(_TOKEN.where(Token.id == bindparam("token_id")), share=[Person, Organization, Token])
_BY_SECRET = Statement(
    select(
        SignIn.id,
        SignIn.began_at,
        SignIn.seen_at,
        SignIn.proved_at,
        SignIn.ended_at,
        Person.id.label("person_id"),
        Person.email,
        Person.name,
        Person.role,
        Person.disabled_at,
        Organization.id.label("organization_id"),
        Organization.slug,
        Organization.suspended_at,
    )
    .join(Person, Person.id == SignIn.person_id)
    .join(Organization, Organization.id == Person.organization_id)
    .where(SignIn.secret_sha256 == bindparam("secret_sha256"))
)
_BY_PERSON = Statement(
    select(Person.disabled_at, Organization.suspended_at)
    .join(Organization, Organization.id == Person.organization_id)
    .where(Person.id == bindparam("person_id")),
    share=[Person, Organization],
)


def _fault(row: AnyRow, caller: Caller, at: datetime) -> Refused | None:
    if caller.token_id is not None:
        if row.person_id != caller.person_id:
            return InvalidCredentials("The token was taken over while you asked: ask again.")
        if row.revoked_at is not None:
            return InvalidCredentials("The token was revoked.")
        if at >= row.expires_at:
            return InvalidCredentials("The token has expired.")
        if row.networks and not _from_one_of(row.networks, caller.address):
            return NetworkNotAllowed()
    if row.suspended_at is not None:
        return OrganizationSuspended()
    if row.disabled_at is not None:
        return PersonDisabled()
    return None


def _from_one_of(networks: str, address: str | None) -> bool:
    """Whether the address lies in a network; an address that cannot be read lies in none."""
    here = addresses.parse(address)
    return here is not None and any(here in ipaddress.ip_network(network) for network in networks.split())
