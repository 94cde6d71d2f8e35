"""Device logins: a program without a browser is given a token that a person approves in theirs (RFC 8628).

The program keeps a device code and shows its person a short user code. The person types that into the portal, sees who
asks and from where, and says what the token may do. It is made when the program asks next, so nothing keeps its text.
"""

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ForeignKey, LargeBinary, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain.callers import Caller
from server.domain.errors import (
    InvalidRequest,
    NotFound,
    NotPermitted,
    NotPossible,
    OrganizationSuspended,
    PersonDisabled,
    TooManyAttempts,
)
from server.domain.identity import tokens
from server.domain.identity.people import Person
from server.domain.identity.tokens import NewToken
from server.domain.permissions import Permission, Role, Scope
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.text import is_writable, unseen

LIFETIME = timedelta(minutes=10)
KEPT_FOR = timedelta(days=1)
INTERVAL_SECONDS = 5  # between two questions; more after each that came too early (section 3.5)
WAITING_AT_MOST = 20  # of one address
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so no words (section 6.1); 20**8 codes
_USER_CODE = re.compile(rf"[{_LETTERS}]{{8}}")


class DeviceLogin(Base):
    """One program that asked, and what was decided. Device codes are kept as hashes: 256 random bits need no salt."""

    __tablename__ = "device_logins"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    device_code_sha256: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    user_code: Mapped[str] = mapped_column(String(8), unique=True)
    name: Mapped[str] = mapped_column(String(100))  # what the program calls itself; later the token's
    scopes: Mapped[str] = mapped_column(String(200))  # space separated: what it asked for; later what it gets
    address: Mapped[str | None] = mapped_column(String(64), index=True)
    began_at: Mapped[datetime] = mapped_column(Moment, index=True)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    asked_at: Mapped[datetime | None] = mapped_column(Moment)
    interval_seconds: Mapped[int] = mapped_column(default=INTERVAL_SECONDS)
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    decided_from: Mapped[str | None] = mapped_column(String(64))  # an address
    approved: Mapped[bool | None]
    lifetime_days: Mapped[int | None]  # the token's
    networks: Mapped[str] = mapped_column(String(1000), default="")


class Answer(StrEnum):
    """Why there is no token, in the words of RFC 8628, section 3.5, and RFC 6749, section 5.2."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"
    UNKNOWN = "invalid_grant"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the program is given. user_code: as people read it, in two groups of four letters."""

    device_code: str
    user_code: str
    lifetime_seconds: int
    interval_seconds: int


def begin(use: Resources, unknown: Caller, name: str, scopes: Collection[Scope]) -> Begun:
    """Begin a login for whoever asks; it gives nothing until a person approves it. Raises TooManyAttempts."""
    if not name.strip() or len(name) > 100 or not is_writable(name) or unseen(name) or len(name.splitlines()) > 1:
        raise InvalidRequest("`client_id` names the program, on one line of 100 visible characters or fewer.")
    if not scopes:
        raise InvalidRequest("`scope` needs at least one scope.")
    device_code, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(_LETTERS) for _ in range(8))
    at = use.clock()
    with use.database.transaction() as session:
        session.execute(delete(DeviceLogin).where(DeviceLogin.began_at < at - KEPT_FOR))
        _require_few(session, unknown.address, at)
        row = DeviceLogin(
            device_code_sha256=_sha256(device_code), user_code=user_code, name=name.strip(),
            scopes=" ".join(sorted(scopes)), address=unknown.address, began_at=at, expires_at=at + LIFETIME,
        )  # fmt: skip
        session.add(row)
    return Begun(device_code, shown(user_code), int(LIFETIME.total_seconds()), INTERVAL_SECONDS)


def shown(user_code: str) -> str:
    """A user code as people read it: `WDJB-MJHT`."""
    return f"{user_code[:4]}-{user_code[4:]}"


def waiting(session: Session, caller: Caller, typed: str, at: datetime) -> DeviceLogin:
    """The login that waits under a user code, however it was typed. Raises NotFound."""
    caller.require(Permission.TOKEN_CREATE)
    return _waiting(session, typed, at)


def approve(
    use: Resources, caller: Caller, typed: str, name: str, scopes: Collection[Scope], lifetime: timedelta,
    networks: Collection[str] = (),
) -> None:  # fmt: skip
    """Let the program have a token that acts for the caller. Raises what `tokens.create` would, and NotFound."""
    tokens.require_possible(use, caller, name, scopes, lifetime, networks)
    with use.database.transaction() as session:
        row = _waiting(session, typed, use.clock(), lock=True)
        row.approved, row.decided_by, row.decided_from = True, caller.person_id, caller.address
        row.name, row.scopes, row.networks = name.strip(), " ".join(sorted(scopes)), tokens.kept_networks(networks)
        row.lifetime_days = lifetime.days


def deny(use: Resources, caller: Caller, typed: str) -> None:
    """Tell the program that it gets nothing. Raises NotFound."""
    caller.require(Permission.TOKEN_CREATE)
    with use.database.transaction() as session:
        row = _waiting(session, typed, use.clock(), lock=True)
        row.approved, row.decided_by, row.decided_from = False, caller.person_id, caller.address


def ask(use: Resources, device_code: str) -> NewToken | Answer:
    """What the program gets now. A token is made once: whoever asks again with the same code is unknown."""
    with use.database.transaction() as session:
        query = select(DeviceLogin).where(DeviceLogin.device_code_sha256 == _sha256(device_code)).with_for_update()
        row, at = session.scalar(query), use.clock()
        if row is None:
            return Answer.UNKNOWN
        if at >= row.expires_at:
            return Answer.EXPIRED
        early = row.asked_at is not None and at < row.asked_at + timedelta(seconds=row.interval_seconds)
        row.asked_at = at
        if early:
            row.interval_seconds += INTERVAL_SECONDS
            return Answer.SLOW_DOWN
        if row.approved is None:
            return Answer.PENDING
        if not row.approved:
            return Answer.DENIED
        by = _whoever_approved(session, row)
        name, scopes, networks = row.name, {Scope(scope) for scope in row.scopes.split()}, row.networks.split()
        lifetime, made_with = timedelta(days=row.lifetime_days or 0), row.device_code_sha256.hex()
    try:
        return tokens.create(use, by, name, scopes, lifetime, networks, made_with)
    except NotPossible:  # it was made already, and told to whoever asked then
        return Answer.UNKNOWN
    except (NotPermitted, InvalidRequest, PersonDisabled, OrganizationSuspended):  # since it was approved
        return Answer.DENIED


def _require_few(session: Session, address: str | None, at: datetime) -> None:
    live = select(func.min(DeviceLogin.expires_at), func.count()).where(
        DeviceLogin.address == address, DeviceLogin.expires_at > at
    )
    first, count = session.execute(live).one()
    if count >= WAITING_AT_MOST:
        raise TooManyAttempts(
            "Too many programs on this network wait for a person to approve them.",
            retry_after_seconds=int((first - at).total_seconds()) + 1,
        )


def _waiting(session: Session, typed: str, at: datetime, *, lock: bool = False) -> DeviceLogin:
    code = re.sub(r"[\s-]", "", typed).upper()
    query = select(DeviceLogin).where(
        DeviceLogin.user_code == code, DeviceLogin.expires_at > at, DeviceLogin.approved.is_(None)
    )
    row = session.scalar(query.with_for_update() if lock else query) if _USER_CODE.fullmatch(code) else None
    if row is None:
        raise NotFound(
            "No program waits under this code.",
            next_step="Compare it with the one on your screen. Codes are valid for ten minutes; then start again.",
        )
    return row


def _whoever_approved(session: Session, row: DeviceLogin) -> Caller:
    """The person as they are now: the token's entry names them and where they approved it."""
    person = session.get_one(Person, row.decided_by)
    home = person.organization
    approved = Caller(via="session", organization_id=home.id, organization=home.slug, person_id=person.id)
    return replace(approved, person=person.email, role=Role(person.role), address=row.decided_from)


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
