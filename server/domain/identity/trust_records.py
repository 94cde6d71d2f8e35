"""Trust records: an organization says which workloads may act for it: by their issuer, an audience, and exact claims.

No secret is kept anywhere: a workload shows a token that its issuer just signed (`identity_tokens.py`), and gets one
of ours for a few minutes (`exchanges.py`). It acts for the owner who made the record, as long as they are one.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from sqlalchemy import ColumnElement, ForeignKey, Index, String, Text, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.identity import tokens
from server.domain.identity.tokens import Token
from server.domain.identity.workload_tokens import WorkloadToken
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission, Scope
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.text import is_writable, unseen

SCOPES = (
    Scope.STAGES_READ,
    Scope.DOWNLOADS_CREATE,
    Scope.LOG_READ,
)  # a workload reads; it reports and publishes nothing
LIFETIME_AT_MOST = timedelta(days=366)
LIVE_AT_MOST = 100  # of one organization
CLAIMS_AT_MOST = 10
NEWEST = 20  # tokens that a record shows
# Claims that name one thing, and no other later: what a name said yesterday, another can register tomorrow.
IDENTIFYING = ("sub", "repository_id", "project_id", "kubernetes.io/serviceaccount/uid")
_CHECKED_ANYWAY = frozenset({"iss", "aud", "exp", "nbf", "iat", "jti"})
_CLAIM = re.compile(r"[!-~]{1,200}")
_AUDIENCE = re.compile(r"[!-~]{1,255}")


class TrustRecord(Base):
    """Whoever shows a token of this issuer, for this audience, with all these claims, acts for an organization."""

    __tablename__ = "trust_records"
    __table_args__ = (
        Index("ix_trust_records_organization_id_id", "organization_id", "id"),
        Index("ix_trust_records_issuer_audience", "issuer", "audience"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))  # the owner who made it, whom it acts for
    name: Mapped[str] = mapped_column(String(100))
    issuer: Mapped[str] = mapped_column(String(500))
    audience: Mapped[str] = mapped_column(String(255))
    claims: Mapped[str] = mapped_column(Text)  # a JSON object of texts
    scopes: Mapped[str] = mapped_column(String(200))  # space separated
    networks: Mapped[str] = mapped_column(String(1000), default="")  # space separated; empty: from anywhere
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)  # the first moment at which nothing is exchanged under it
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    made_with: Mapped[str | None] = mapped_column(String(64), unique=True)  # a form's key: sent twice, it makes one

    @property
    def required(self) -> dict[str, str]:
        """The claims, by their names or paths."""
        claims: dict[str, str] = orjson.loads(self.claims)
        return claims

    def works_at(self, moment: datetime) -> bool:
        return self.revoked_at is None and moment < self.expires_at


@dataclass(frozen=True, slots=True)
class Terms:
    """What a record says. claims: by their names or paths; ends_at: when nothing is exchanged any more."""

    name: str
    issuer: str
    audience: str
    claims: Mapping[str, str]
    scopes: Collection[Scope]
    ends_at: datetime
    networks: Collection[str] = ()


def create(use: Resources, caller: Caller, terms: Terms, made_with: str | None = None) -> int:
    """Trust workloads; returns the record's number. made_with: the key of the form, of which no second one is made."""
    caller.require(Permission.TRUST_RECORD_MANAGE)
    if caller.person_id is None or caller.organization_id is None or caller.via == "token":
        raise NotPermitted("Only a person can create trust records.")
    _require_possible(use, terms)
    with use.database.transaction() as session:
        at = use.clock()
        if not at < terms.ends_at <= at + LIFETIME_AT_MOST:
            raise InvalidRequest(f"A trust record can be valid for up to {LIFETIME_AT_MOST.days} days.")
        _require_few(session, caller.organization_id, at)
        if made_with is not None and _made(session, made_with) is not None:
            raise NotPossible("This form has already created its trust record. No second one was created.")
        made = TrustRecord(
            organization_id=caller.organization_id, person_id=caller.person_id, name=terms.name.strip(),
            issuer=terms.issuer, audience=terms.audience, claims=_as_text(terms.claims),
            scopes=" ".join(sorted(terms.scopes)), networks=tokens.kept_networks(terms.networks), created_at=at,
            expires_at=terms.ends_at, made_with=made_with,
        )  # fmt: skip
        session.add(made)
        session.flush()
        _record(session, caller, EntryKind.TRUST_RECORD_CREATE, made, at)
        return made.id


def revoke(use: Resources, caller: Caller, number: int) -> None:
    """Trust these workloads no more: the tokens that they got stop working with their next request."""
    with use.database.transaction() as session:
        query = select(TrustRecord).where(TrustRecord.id == number, *_own(caller)).with_for_update()
        record = session.scalar(query)
        if record is None:
            raise _unknown()
        if record.revoked_at is not None:
            raise NotPossible(f"Trust record {number} is already revoked.")
        record.revoked_at = use.clock()
        _revoke_tokens(session, number, record.revoked_at)
        _record(session, caller, EntryKind.TRUST_RECORD_REVOKE, record, record.revoked_at)


def _revoke_tokens(session: Session, number: int, at: datetime) -> None:
    made = select(WorkloadToken.token_id).where(WorkloadToken.trust_record_id == number)
    live = update(Token).where(Token.id.in_(made), Token.revoked_at.is_(None), tokens.works_after(at))
    session.execute(live.values(revoked_at=at).execution_options(synchronize_session=False))


def visible(session: Session, caller: Caller, part: Slice) -> Page[TrustRecord]:
    """One's organization's, newest first."""
    return page(session, select(TrustRecord).where(*_own(caller)), TrustRecord.id, part, newest_first=True)


def find(session: Session, caller: Caller, number: int) -> TrustRecord:
    """One of the `visible` ones. Raises NotFound."""
    record = session.scalar(select(TrustRecord).where(TrustRecord.id == number, *_own(caller)))
    if record is None:
        raise _unknown()
    return record


def newest_tokens(session: Session, caller: Caller, record: TrustRecord) -> list[tuple[Token, WorkloadToken]]:
    """What was exchanged last under one of the `visible` records."""
    query = select(Token, WorkloadToken).join(WorkloadToken, WorkloadToken.token_id == Token.id)
    query = query.join(TrustRecord, TrustRecord.id == WorkloadToken.trust_record_id).where(*_own(caller))
    of_record = query.where(WorkloadToken.trust_record_id == record.id).order_by(WorkloadToken.token_id.desc())
    return [(token, workload) for token, workload in session.execute(of_record.limit(NEWEST))]


def _require_possible(use: Resources, terms: Terms) -> None:
    if not terms.name.strip() or len(terms.name) > 100 or unseen(terms.name):
        raise InvalidRequest("Enter a name for the trust record, in 100 characters or fewer.")
    if terms.issuer not in use.issuer_keys:
        raise InvalidRequest("This server does not accept this issuer. Choose one from the list.")
    if not _AUDIENCE.fullmatch(terms.audience):
        raise InvalidRequest("The audience is 1 to 255 characters without spaces.")
    if not terms.scopes or not set(terms.scopes) <= set(SCOPES):
        raise InvalidRequest(f"A trust record has at least one of the scopes {', '.join(SCOPES)}.")
    if len(tokens.kept_networks(terms.networks)) > 1000:
        raise InvalidRequest("Too many networks. The maximum is about 50.")
    _require_claims(terms.claims)


def _require_claims(claims: Mapping[str, str]) -> None:
    if not claims.keys() & set(IDENTIFYING):
        raise InvalidRequest(f"Require at least one claim that identifies the workload: {', '.join(IDENTIFYING)}.")
    if len(claims) > CLAIMS_AT_MOST:
        raise InvalidRequest(f"Require {CLAIMS_AT_MOST} claims or fewer.")
    for name, value in claims.items():
        if not _CLAIM.fullmatch(name):
            raise InvalidRequest("The name of a claim is 1 to 200 characters without spaces.")
        if name in _CHECKED_ANYWAY:
            raise InvalidRequest(f"The claim {name} is always checked. Do not list it.")
        if not value or len(value) > 500 or not is_writable(value) or unseen(value):
            raise InvalidRequest(f"The value of the claim {name} is 1 to 500 visible characters.")


def _require_few(session: Session, organization_id: int, at: datetime) -> None:
    live = select(func.count()).where(
        TrustRecord.organization_id == organization_id, TrustRecord.revoked_at.is_(None), TrustRecord.expires_at > at
    )
    if session.scalars(live).one() >= LIVE_AT_MOST:
        raise NotPossible(
            f"Your organization has {LIVE_AT_MOST} trust records, which is the maximum. Revoke one first."
        )


def _as_text(claims: Mapping[str, str]) -> str:
    return orjson.dumps(dict(claims), option=orjson.OPT_SORT_KEYS).decode()


def _made(session: Session, made_with: str) -> TrustRecord | None:
    return session.scalar(select(TrustRecord).where(TrustRecord.made_with == made_with))


def _own(caller: Caller) -> list[ColumnElement[bool]]:
    caller.require(Permission.TRUST_RECORD_MANAGE)
    return [TrustRecord.organization_id == caller.organization_id]


def _unknown() -> NotFound:
    return NotFound("Your organization has no such trust record.", next_step="Choose one from the list.")


def _record(session: Session, caller: Caller, kind: EntryKind, about: TrustRecord, at: datetime) -> None:
    record = {
        "actor": caller.as_record(), "trust_record": about.id, "organization": caller.organization, "name": about.name,
        "issuer": about.issuer, "audience": about.audience, "claims": about.required, "scopes": about.scopes.split(),
        "networks": about.networks.split(), "expires_at": dates.milliseconds(about.expires_at),
    }  # fmt: skip
    acts.append(session, kind, at, record, organization_id=about.organization_id)
