"""API tokens: made by a person for scripts, shown once, kept as a hash; or for a workload, for some minutes (`wgs_`).

`wgk_` + 12 base62 (public id) + `_` + 43 base62 (32 random bytes) + 6 base62 (CRC32 of all before): 66 characters.
The checksum lets scanners and us tell a token from noise without asking the database.
"""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, ForeignKey, Index, LargeBinary, String, false, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import addresses, dates
from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.paging import Page, Slice, page
from server.domain.permissions import POLICY, PURPOSE, STAFF, Permission, Role, Scope
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment

PREFIX, SHORT_PREFIX = "wgk_", "wgs_"
FORM = re.compile(r"wg[ks]_([0-9A-Za-z]{12})_[0-9A-Za-z]{49}")
HUB_FORM = re.compile(r"hf_([0-9A-Za-z]{12})([0-9A-Za-z]{49})")  # as `for_hub` spells one
PUBLIC_ID = re.compile(r"[0-9A-Za-z]{12}")
ROTATION_OVERLAP = timedelta(hours=24)
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Token(Base):
    """A bearer credential of one person, for some scopes, from some networks, until a moment."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("ix_tokens_of_machine_id", "of_machine", "id"),
        Index("ix_tokens_organization_id_of_machine_id", "organization_id", "of_machine", "id"),
        Index("ix_tokens_person_id_of_machine_id", "person_id", "of_machine", "id"),
    )
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(12), unique=True)
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary)  # of the whole token; 256 random bits need no salt
    organization_id: Mapped[int] = mapped_column(ForeignKey("organizations.id"))
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[str] = mapped_column(String(200))  # space separated
    networks: Mapped[str] = mapped_column(String(1000), default="")  # space separated; empty: from anywhere
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime] = mapped_column(Moment)  # the first moment at which it no longer works
    revoked_at: Mapped[datetime | None] = mapped_column(Moment)
    made_with: Mapped[str | None] = mapped_column(String(64), unique=True)  # a form's key: sent twice, it makes one
    of_machine: Mapped[bool] = mapped_column(default=False, server_default=false())  # then `workload_tokens` says whose


@dataclass(frozen=True)
class NewToken:
    """A token just made; `text` is shown once."""

    token: Token
    text: str


def render(public_id: str, secret: bytes, prefix: str = PREFIX) -> str:
    """Return the token's text. public_id: 12 base62 characters; secret: 32 bytes."""
    body = f"{prefix}{public_id}_{_base62(int.from_bytes(secret, 'big'), 43)}"
    return body + _base62(zlib.crc32(body.encode()), 6)


def for_hub(text: str) -> str:
    """Return a token as programs want it that send none but the Hugging Face hub's own, such as llama.cpp."""
    return "hf_" + text.removeprefix(PREFIX).removeprefix(SHORT_PREFIX).replace("_", "")


def from_hub(text: str) -> str:
    """Return a text with each such token in it as we spell it."""
    return HUB_FORM.sub(_from_hub, text)


def _from_hub(match: re.Match[str]) -> str:
    """Whether it was a short token only its checksum tells."""
    short = f"{SHORT_PREFIX}{match[1]}_{match[2]}"
    return short if public_id_of(short) else f"{PREFIX}{match[1]}_{match[2]}"


def public_id_of(text: str) -> str | None:
    """Return the id inside a well-formed token, None for anything else: that costs no query."""
    match = FORM.fullmatch(text)
    if match is None or _base62(zlib.crc32(text[:-6].encode()), 6) != text[-6:]:
        return None
    return match[1]


def matches(secret_sha256: bytes, text: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(secret_sha256, hashlib.sha256(text.encode()).digest())


def create(
    use: Resources,
    caller: Caller,
    name: str,
    scopes: Collection[Scope],
    lifetime: timedelta,
    networks: Collection[str] = (),
    made_with: str | None = None,
) -> NewToken:
    """Make a token for the caller, who must be a person. It lives for `lifetime`, at most as settings allow.

    made_with: the key of the form that asks, of which no second token is made.
    """
    organization_id, person_id = require_possible(use, caller, name, scopes, lifetime, networks)
    with use.database.transaction() as session:
        at = use.clock()
        made = insert(session, organization_id, person_id, name, scopes, networks, at, at + lifetime, made_with)
        hashed = made.token.secret_sha256.hex()
        _record(session, caller, EntryKind.TOKEN_CREATE, made.token, at, secret_sha256=hashed)
        return made


def rotate(use: Resources, caller: Caller, public_id: str, made_with: str | None = None) -> NewToken:
    """Make a token like the given one and let the old one work for 24 hours more. made_with: see `create`."""
    with use.database.transaction() as session:
        old = _managed(session, caller, public_id)
        at = use.clock()
        _require_made_by_a_person(old)
        if old.revoked_at is not None or old.expires_at <= at:
            raise NotPossible(f"Token {public_id} no longer works. Create a new one.")
        if caller.person_id != old.person_id:
            raise NotPermitted("Only its creator can rotate a token. Take it over first.")
        scopes = {Scope(scope) for scope in old.scopes.split()}
        lifetime = min(old.expires_at - old.created_at, timedelta(days=use.settings.token_lifetime_days))
        made = insert(
            session, old.organization_id, old.person_id, old.name, scopes, old.networks.split(), at, at + lifetime,
            made_with,
        )  # fmt: skip
        old.expires_at = min(old.expires_at, at + ROTATION_OVERLAP)
        _record(
            session, caller, EntryKind.TOKEN_ROTATE, old, at, successor=made.token.public_id,
            successor_sha256=made.token.secret_sha256.hex(),
            successor_expires_at=dates.milliseconds(made.token.expires_at),
        )  # fmt: skip
        return made


def revoke(use: Resources, caller: Caller, public_id: str) -> None:
    """Make a token useless from its next request on."""
    with use.database.transaction() as session:
        token = _managed(session, caller, public_id)
        if token.revoked_at is not None:
            raise NotPossible(f"Token {public_id} is already revoked.")
        token.revoked_at = use.clock()
        _record(session, caller, EntryKind.TOKEN_REVOKE, token, token.revoked_at)


def revoke_leaked(use: Resources, caller: Caller, text: str) -> None:
    """Revoke a token because somebody could show it. Anything else changes nothing, and is not told apart."""
    text = from_hub(text)
    public_id = public_id_of(text)
    if public_id is None:
        return
    with use.database.transaction() as session:
        token = session.scalar(select(Token).where(Token.public_id == public_id).with_for_update())
        if token is not None and matches(token.secret_sha256, text) and token.revoked_at is None:
            token.revoked_at = use.clock()
            _record(session, caller, EntryKind.TOKEN_REVOKE_LEAKED, token, token.revoked_at)


def take_over(use: Resources, caller: Caller, public_id: str) -> None:
    """Make the caller, an owner of the same organization, the one whom the token acts for."""
    with use.database.transaction() as session:
        token = _managed(session, caller, public_id)
        if caller.person_id is None or caller.role is None or caller.organization_id != token.organization_id:
            raise NotPermitted("A token can only be taken over within its organization.")
        _require_made_by_a_person(token)
        if token.revoked_at is not None:
            raise NotPossible(f"Token {public_id} is revoked.")
        if token.person_id == caller.person_id:
            raise NotPossible(f"Token {public_id} is already yours.")
        _require_carried({Scope(scope) for scope in token.scopes.split()}, caller.role)
        token.person_id = caller.person_id
        _record(session, caller, EntryKind.TOKEN_TAKE_OVER, token, use.clock())


def revoke_made_by(session: Session, person_id: int, at: datetime) -> int:
    """Revoke all live tokens of a person; returns how many."""
    counts = or_(Token.of_machine.is_(False), works_after(at))
    live = update(Token).where(Token.person_id == person_id, Token.revoked_at.is_(None), counts)
    return len(session.execute(live.values(revoked_at=at).returning(Token.id)).all())


def _require_made_by_a_person(token: Token) -> None:
    if token.of_machine:
        raise NotPossible("This token was made for a workload. It exchanges its identity token for another one.")


def works_after(at: datetime) -> ColumnElement[bool]:
    """Of workloads' tokens, of which very many have ended: those that have not. In milliseconds, as in the log."""
    return Token.expires_at >= at.replace(microsecond=at.microsecond // 1000 * 1000) + timedelta(milliseconds=1)


def insert(
    session: Session,
    organization_id: int,
    person_id: int,
    name: str,
    scopes: Collection[Scope],
    networks: Collection[str],
    at: datetime,
    expires_at: datetime,
    made_with: str | None = None,
    prefix: str = PREFIX,
) -> NewToken:
    """Add a token's row, for whoever records in the same transaction what it is for."""
    public_id = "".join(secrets.choice(_BASE62) for _ in range(12))
    text = render(public_id, secrets.token_bytes(32), prefix)
    token = Token(
        public_id=public_id,
        secret_sha256=hashlib.sha256(text.encode()).digest(),
        organization_id=organization_id,
        person_id=person_id,
        name=name.strip(),
        scopes=" ".join(sorted(scopes)),
        networks=kept_networks(networks),
        created_at=at,
        expires_at=expires_at,
        made_with=made_with,
        of_machine=prefix == SHORT_PREFIX,
    )
    session.add(token)
    try:
        session.flush()
    except IntegrityError:
        raise NotPossible(
            "This form has already created its token and shown it. No second token was created.",
            next_step="If you did not copy it, revoke it in the list of tokens and create another.",
        ) from None
    return NewToken(token, text)


def require_possible(
    use: Resources,
    caller: Caller,
    name: str,
    scopes: Collection[Scope],
    lifetime: timedelta,
    networks: Collection[str],
) -> tuple[int, int]:
    """Raise what `create` would raise for this; return whose it would be: the ids of organization and person."""
    caller.require(Permission.TOKEN_CREATE)
    if caller.person_id is None or caller.organization_id is None or caller.role is None or caller.via == "token":
        raise NotPermitted("Only a person can create tokens.")
    lifetime_days = use.settings.token_lifetime_days
    if not name.strip() or len(name) > 100:
        raise InvalidRequest("Enter a name for the token, in 100 characters or fewer.")
    if not timedelta(0) < lifetime <= timedelta(days=lifetime_days):
        raise InvalidRequest(f"A token can be valid for 1 to {lifetime_days} days.")
    if not scopes:
        raise InvalidRequest("A token needs at least one scope.")
    _require_carried(scopes, caller.role)
    if len(kept_networks(networks)) > 1000:
        raise InvalidRequest("Too many networks. The maximum is about 50.")
    return caller.organization_id, caller.person_id


def kept_networks(given: Collection[str]) -> str:
    """As they are kept. Raises InvalidRequest."""
    try:
        return " ".join(str(addresses.network(text)) for text in given)
    except ValueError as error:
        raise InvalidRequest(f"{error}.".capitalize()) from None


def _require_carried(scopes: Collection[Scope], role: Role) -> None:
    for scope in scopes:
        if role not in POLICY[PURPOSE[scope]].roles:
            raise InvalidRequest(f"Your role ({role}) cannot have the scope {scope}.")


def _managed(session: Session, caller: Caller, public_id: str) -> Token:
    """The token, if the caller may change it; to all others it does not exist."""
    caller.require(Permission.TOKEN_REVOKE)
    query = select(Token).where(Token.public_id == public_id).with_for_update()
    token = session.scalar(query) if PUBLIC_ID.fullmatch(public_id) else None  # as in `find`
    if token is None or not may_change(caller, token):
        raise NotFound(f"There is no token {public_id} that you can change.")
    return token


def of_caller(session: Session, caller: Caller) -> Token:
    """The token by which the caller was identified a moment ago."""
    return session.get_one(Token, caller.token_id)


def visible(session: Session, caller: Caller, part: Slice) -> Page[Token]:
    """One's own tokens; for owners their organization's; for staff all. Of workloads' none: there are too many."""
    query = select(Token).where(*_may_see(caller), Token.of_machine.is_(False))
    return page(session, query, Token.id, part, newest_first=True)


def own(session: Session, caller: Caller, part: Slice) -> Page[Token]:
    """One's own tokens, whatever others one may see."""
    query = select(Token).where(Token.person_id == caller.person_id, Token.of_machine.is_(False))
    return page(session, query, Token.id, part, newest_first=True)


def of_organization(session: Session, caller: Caller, organization_id: int, part: Slice) -> Page[Token]:
    """An organization's tokens, of the `visible` ones."""
    query = select(Token).where(
        Token.organization_id == organization_id, *_may_see(caller), Token.of_machine.is_(False)
    )
    return page(session, query, Token.id, part, newest_first=True)


def find(session: Session, caller: Caller, public_id: str) -> Token:
    """One of the `visible` ones. Raises NotFound."""
    # What is no id is the id of nothing; PostgreSQL would not even be asked about a NUL.
    query = select(Token).where(Token.public_id == public_id, *_may_see(caller))
    token = session.scalar(query) if PUBLIC_ID.fullmatch(public_id) else None
    if token is None:
        raise NotFound("This token does not exist, or you cannot see it.", next_step="Choose a token from the list.")
    return token


def live_of(session: Session, caller: Caller, person_id: int, at: datetime) -> Sequence[Token]:
    """A person's tokens that still work, of the `visible` ones, newest first; not those of workloads."""
    live = Token.person_id == person_id, Token.of_machine.is_(False), Token.revoked_at.is_(None), Token.expires_at > at
    return session.scalars(select(Token).where(*live, *_may_see(caller)).order_by(Token.id.desc())).all()


def may_change(caller: Caller, token: Token) -> bool:
    """Whether the caller may revoke this token."""
    if caller.role is Role.ADMIN or caller.person_id == token.person_id:
        return True
    return caller.role is Role.OWNER and caller.organization_id == token.organization_id


def _may_see(caller: Caller) -> list[ColumnElement[bool]]:
    if caller.role in STAFF:
        return []
    own = [Token.organization_id == caller.organization_id]
    return own if caller.role is Role.OWNER else [*own, Token.person_id == caller.person_id]


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def _record(session: Session, caller: Caller, kind: EntryKind, about: Token, at: datetime, **more: str | int) -> None:
    record = {
        "actor": caller.as_record(),
        "token": about.public_id,
        "scopes": about.scopes.split(),
        "networks": about.networks.split(),
        "expires_at": dates.milliseconds(about.expires_at),
        **more,
    }
    acts.append(session, kind, at, record, organization_id=about.organization_id)
