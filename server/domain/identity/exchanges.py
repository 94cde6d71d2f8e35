"""Exchanges: a workload's identity token becomes a token of ours, once, under a matching trust record (RFC 8693).

Each is decided, logged and committed before anything is answered. At the STS door the same identity token may be shown
again, since the AWS libraries read one file in every process and whenever their keys end: it gives keys of the same
session for as long as it is valid, and never a second one.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server import addresses, dates
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import (
    IdentityTokenRefused,
    InvalidRequest,
    NetworkNotAllowed,
    NotPermitted,
    NotTrusted,
    Refused,
    TooManyAttempts,
)
from server.domain.identity import authentication, identity_tokens, tokens
from server.domain.identity.identity_tokens import Identity
from server.domain.identity.organizations import Organization
from server.domain.identity.people import Person
from server.domain.identity.tokens import NewToken, Token
from server.domain.identity.trust_records import TrustRecord
from server.domain.identity.workload_tokens import WorkloadToken
from server.domain.permissions import Role, Scope
from server.domain.resources import Resources
from server.storage.database import RowTaken

LIFETIME = timedelta(minutes=15)
SESSION_LIFETIME = timedelta(hours=1)  # or the identity token's, if that is longer: its keys end sooner
EXCHANGED_AT_MOST = 2000  # under one trust record, within LIFETIME
_USED = "This identity token was used already."


class Door(StrEnum):
    """Where an identity token was shown. At one it is good for one token, at the other for one session."""

    EXCHANGE = "exchange"
    STS = "sts"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a workload asks for besides. scopes: fewer than the record's; organization and number: of the record."""

    scopes: Collection[Scope] | None = None
    organization: str | None = None
    trust_record: int | None = None


def exchange(use: Resources, unknown: Caller, text: str, wish: Wish) -> NewToken:
    """Make a token for a workload. Raises IdentityTokenRefused, IssuerUnavailable, TooManyAttempts and rows 1 and 2."""
    identity = identity_tokens.verify(use, text)
    try:
        return _admit(use, unknown, identity, wish, Door.EXCHANGE)
    except RowTaken:
        raise IdentityTokenRefused(_USED, next_step="Request a new identity token for each exchange.") from None


def session_of(use: Resources, unknown: Caller, text: str, wish: Wish) -> tuple[Caller, Refused | None]:
    """Return who a workload is at the STS door, and the refusal if its session has ended. Raises as `exchange`."""
    identity = identity_tokens.verify(use, text)
    public_id = _begun(use, identity, wish)
    if public_id is None:
        try:
            public_id = _admit(use, unknown, identity, wish, Door.STS).token.public_id
        except RowTaken:  # by a request at the same moment
            public_id = _begun(use, identity, wish)
    caller, refused = authentication.identify_id(use, public_id or "", unknown)
    return caller, refused or (None if caller.role is Role.OWNER else _no_owner())


def _begun(use: Resources, identity: Identity, wish: Wish) -> str | None:
    """The public id of the session that this identity token began. Raises IdentityTokenRefused, NotTrusted."""
    query = (
        select(Token.public_id, WorkloadToken.door, WorkloadToken.trust_record_id)
        .join(WorkloadToken, WorkloadToken.token_id == Token.id)
        .where(WorkloadToken.identity_sha256 == identity.sha256)
    )
    with use.database.reading() as session:
        known = session.execute(query).one_or_none()
    if known is None:
        return None
    if known.door != Door.STS:
        raise IdentityTokenRefused(_USED, next_step="Request a new identity token.")
    if wish.trust_record not in {None, known.trust_record_id}:
        raise NotTrusted
    public_id: str = known.public_id
    return public_id


def _admit(use: Resources, unknown: Caller, identity: Identity, wish: Wish, door: Door) -> NewToken:
    """Decide, insert, log. Raises RowTaken for an identity token that was used already."""
    with use.database.transaction() as session:
        found = _matching(session, identity, wish, use.clock())
        # Locked, so that a record that is revoked at this moment is so before or after, and its tokens with it. Not
        # shared: PostgreSQL lets those who share a row pass whoever waits to change it, and a revoke must not starve.
        locked = select(TrustRecord).where(TrustRecord.id == found.id).with_for_update()
        record, at = session.scalars(locked.execution_options(populate_existing=True)).one(), use.clock()
        if not record.works_at(at):
            raise NotTrusted
        _require_owner(session, record)
        _require_network(record, unknown)
        _require_few(session, record, at)
        made = tokens.insert(
            session, record.organization_id, record.person_id, record.name, _scopes(record, wish),
            record.networks.split(), at, _end(identity, record, at, door), prefix=tokens.SHORT_PREFIX,
        )  # fmt: skip
        session.add(
            WorkloadToken(
                token_id=made.token.id, trust_record_id=record.id, identity_sha256=identity.sha256,
                subject=identity.subject, run=identity.run, door=str(door),
            )
        )  # fmt: skip
        session.flush()
        entry = _entry(session, unknown, record, identity, made, door)
        acts.append(session, EntryKind.TOKEN_EXCHANGE, at, entry, organization_id=record.organization_id)
        return made


def _matching(session: Session, identity: Identity, wish: Wish, at: datetime) -> TrustRecord:
    """The one record that an identity fits. Raises NotTrusted, or InvalidRequest where it fits several."""
    query = select(TrustRecord).join(Organization, Organization.id == TrustRecord.organization_id)
    query = query.where(TrustRecord.issuer == identity.issuer, TrustRecord.audience.in_(identity.audiences))
    query = query.where(TrustRecord.revoked_at.is_(None), TrustRecord.expires_at > at)
    if wish.organization is not None:
        query = query.where(Organization.slug == wish.organization)
    if wish.trust_record is not None:
        query = query.where(TrustRecord.id == wish.trust_record)
    found = [
        record
        for record in session.scalars(query.order_by(TrustRecord.id))
        if all(identity.has(name, value) for name, value in record.required.items())
    ]
    if not found:
        raise NotTrusted
    if len(found) > 1:
        raise InvalidRequest(
            "Several trust records match this identity token.",
            next_step="Name one: ORGANIZATION/NUMBER as `audience`, or its number as the account in the role's ARN.",
        )
    return found[0]


def _scopes(record: TrustRecord, wish: Wish) -> set[Scope]:
    held = {Scope(scope) for scope in record.scopes.split()}
    if wish.scopes is None:
        return held
    if not wish.scopes or not set(wish.scopes) <= held:
        raise InvalidRequest("The trust record does not have every scope that was requested.")
    return set(wish.scopes)


def _end(identity: Identity, record: TrustRecord, at: datetime, door: Door) -> datetime:
    end = at + LIFETIME if door is Door.EXCHANGE else max(at + SESSION_LIFETIME, identity.expires_at)
    return min(end, record.expires_at)


def _require_owner(session: Session, record: TrustRecord) -> None:
    """Said here in words; `acts.append` holds them to it under a lock, as it does to their standing."""
    if session.get_one(Person, record.person_id).role != Role.OWNER:
        raise _no_owner()


def _no_owner() -> NotPermitted:
    return NotPermitted(
        "The person who created this trust record is no longer an owner.",
        next_step="Ask an owner of the organization to create it again.",
    )


def _require_network(record: TrustRecord, unknown: Caller) -> None:
    if record.networks and not addresses.lies_in(record.networks.split(), unknown.address):
        raise NetworkNotAllowed("The trust record cannot be used from your network address.")


def _require_few(session: Session, record: TrustRecord, at: datetime) -> None:
    """Each is an entry of the log: how many there were in the last minutes is told by one of them, not by counting."""
    oldest = (
        select(Token.created_at)
        .join(WorkloadToken, WorkloadToken.token_id == Token.id)
        .where(WorkloadToken.trust_record_id == record.id)
        .order_by(WorkloadToken.token_id.desc())
        .offset(EXCHANGED_AT_MOST - 1)
        .limit(1)
    )
    counted_from = session.scalar(oldest)
    if counted_from is not None and at < counted_from + LIFETIME:
        raise TooManyAttempts(
            "Too many identity tokens were exchanged under this trust record.",
            retry_after_seconds=int((counted_from + LIFETIME - at).total_seconds()) + 1,
        )


def _entry(
    session: Session, unknown: Caller, record: TrustRecord, identity: Identity, made: NewToken, door: Door
) -> dict[str, Any]:
    """What the log keeps: it was done in the name of whoever made the trust record, who is judged as they are now."""
    maker, home = session.get_one(Person, record.person_id), session.get_one(Organization, record.organization_id)
    by = Caller(
        via="workload", organization=home.slug, person=maker.email, role=Role(maker.role),
        address=unknown.address, user_agent=unknown.user_agent,
    )  # fmt: skip
    entry: dict[str, Any] = {
        "actor": by.as_record(), "token": made.token.public_id, "trust_record": record.id, "issuer": identity.issuer,
        "subject": identity.subject, "identity_sha256": identity.sha256.hex(), "door": str(door),
        "scopes": made.token.scopes.split(), "networks": made.token.networks.split(),
        "expires_at": dates.milliseconds(made.token.expires_at),
        "secret_sha256": made.token.secret_sha256.hex(),
    }  # fmt: skip
    return entry if identity.run is None else entry | {"run": identity.run}
