"""Second factors: one-time codes, passkeys and recovery codes. A password alone opens nothing."""

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Sequence
from datetime import datetime
from secrets import token_bytes

import pyotp
from sqlalchemy import ForeignKey, LargeBinary, String, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import Ceremony, Kind
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity import linked_identities, people, sessions
from server.domain.identity.people import Person, record
from server.domain.mail import mails
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.storage import keys
from server.storage.database import Base, Key, Moment

ISSUER = "Weightgate"
STEP_SECONDS = 30
STEPS_APART = (0, -1, 1)  # a phone's clock that is off by half a minute works, by a whole one sometimes
RECOVERY_CODES = 10
RECOVERY_BYTES = 10  # 80 bits
PASSKEYS_AT_MOST = 20
_WRONG = "The code is incorrect, or has already been used: each code works once."


class Passkey(Base):
    """A WebAuthn credential of a person. The private half never leaves their device."""

    __tablename__ = "passkeys"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)  # COSE
    sign_count: Mapped[int] = mapped_column(Key)
    name: Mapped[str] = mapped_column(String(100))
    added_at: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime | None] = mapped_column(Moment)


class RecoveryCode(Base):
    """One of ten codes for a lost device; works once. 80 random bits need no slow hash."""

    __tablename__ = "recovery_codes"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"), index=True)
    code_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime] = mapped_column(Moment)
    used_at: Mapped[datetime | None] = mapped_column(Moment)


def accept_totp(session: Session, use: Resources, person: Person, code: str) -> None:
    """Take a one-time code, and remember its step: no code works twice. Raises InvalidRequest."""
    secret = keys.unseal(use.secret, "totp", person.totp_secret_sealed).decode()
    step = step_of(secret, code, use.clock())
    if step is not None:
        newer = or_(Person.totp_step.is_(None), Person.totp_step < step)
        taken = session.execute(update(Person).where(Person.id == person.id, newer).values(totp_step=step))
        if taken.rowcount:  # type: ignore[attr-defined]
            return
    then = "Wait for the next code. If this keeps happening, set your phone's clock to automatic."
    raise InvalidRequest(_WRONG, next_step=then)


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """The time step that a code is of, if that is now or a step away from it."""
    typed = "".join(code.split()).encode()
    now = int(at.timestamp()) // STEP_SECONDS
    made = pyotp.TOTP(secret, interval=STEP_SECONDS)
    fitting = [now + away for away in STEPS_APART if hmac.compare_digest(made.generate_otp(now + away).encode(), typed)]
    return fitting[0] if fitting else None


def require_step(secret: str, code: str, at: datetime) -> int:
    """The step of a code for a secret that is being set up. Raises InvalidRequest."""
    step = step_of(secret, code, at)
    if step is None:
        raise InvalidRequest(
            _WRONG, next_step="If your app shows more than one entry for this server, scan the code again."
        )
    return step


def totp_address(secret: str, email: str) -> str:
    """What the QR code says; authenticator apps read it."""
    return pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=email, issuer_name=ISSUER)


def begin_totp(use: Resources, caller: Caller) -> str:
    """Begin to replace one's authenticator app; the old one counts until `replace_totp`. Returns the ceremony."""
    caller.require(Permission.ACCOUNT_MANAGE)
    sealed = keys.seal(use.secret, "totp", pyotp.random_base32().encode())
    return ceremonies.begin(use, Kind.TOTP_REPLACE, caller.person_id, sealed)


def pending_totp(session: Session, use: Resources, caller: Caller, ceremony: str | None) -> str:
    """The secret that is being set up. Raises NotPossible when that is over, or never began."""
    return _pending(use, caller, ceremonies.running(session, use, ceremony, Kind.TOTP_REPLACE))


def replace_totp(use: Resources, caller: Caller, ceremony: str | None, code: str) -> None:
    """Let the new app count, once it has shown a right code. Every other session of the person ends."""
    caller.require(Permission.ACCOUNT_MANAGE)
    begun = ceremonies.attempt(use, ceremony, Kind.TOTP_REPLACE)
    with use.database.transaction() as session:
        secret = _pending(use, caller, begun)
        at = use.clock()
        step = require_step(secret, code, at)
        ceremonies.finish(session, begun, at)
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        person.totp_secret_sealed, person.totp_step = keys.seal(use.secret, "totp", secret.encode()), step
        person.app_is_handed, person.has_app = False, True
        changed(
            session, use, caller, person, EntryKind.PERSON_FACTOR_REPLACE, "Your authenticator app was replaced", at,
            factor="totp",
        )  # fmt: skip


def change_password(use: Resources, caller: Caller, present: str, password: str) -> None:
    """Replace one's own password, or choose the first one. Every other session of the person ends."""
    caller.require(Permission.ACCOUNT_MANAGE)
    with use.database.reading() as session:
        before = session.get_one(Person, caller.person_id)
    if before.has_password and not people.is_password_of(before, present):
        raise InvalidRequest("The current password is incorrect.", next_step="Enter it again.")
    hashed = people.hash_password(password)
    with use.database.transaction() as session:
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        if person.password_hash != before.password_hash:
            raise NotPossible("Another request has just changed the password.")
        person.password_hash, person.password_is_handed, person.has_password = hashed, False, True
        at = use.clock()
        sessions.end_all(session, person.id, at, "the password was changed", but=caller.session_id)
        record(session, caller, EntryKind.PERSON_PASSWORD_CHANGE, person, at)
        tell(session, use, person, "Your password was changed", "You are signed out everywhere else.", at)


def accept_recovery_code(session: Session, person_id: int, code: str, at: datetime) -> int:
    """Use a recovery code up; returns how many are left. Raises InvalidRequest."""
    mine = RecoveryCode.person_id == person_id, RecoveryCode.used_at.is_(None)
    used = session.execute(
        update(RecoveryCode).where(*mine, RecoveryCode.code_sha256 == _recovery_hash(code)).values(used_at=at)
    )
    if not used.rowcount:  # type: ignore[attr-defined]
        raise InvalidRequest(
            "This recovery code is incorrect, or has already been used.", next_step="Try another recovery code."
        )
    return session.scalar(select(func.count()).select_from(RecoveryCode).where(*mine)) or 0


def recovery_codes(session: Session, caller: Caller) -> Sequence[RecoveryCode]:
    """The caller's codes of the newest making; which they are, nobody knows any more."""
    query = select(RecoveryCode).where(RecoveryCode.person_id == caller.person_id).order_by(RecoveryCode.id)
    return session.scalars(query).all()


def make_recovery_codes(use: Resources, caller: Caller, newest: int) -> list[str]:
    """Replace one's recovery codes; returns them, to be shown once. Every other session of the person ends.

    newest: the id of the newest code that the person knew of (0: none). Raises NotPossible when there are newer ones:
    a form that is sent twice would otherwise make the codes worthless that somebody has just printed.
    """
    caller.require(Permission.ACCOUNT_MANAGE)
    made = [_recovery_code() for _ in range(RECOVERY_CODES)]
    with use.database.transaction() as session:
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        mine = RecoveryCode.person_id == person.id
        if (session.scalar(select(func.max(RecoveryCode.id)).where(mine)) or 0) != newest:
            raise NotPossible(
                "New recovery codes were created since you opened this page. They replace the old ones and cannot "
                "be shown again.",
                next_step="If you did not save them, create new ones.",
            )
        at = use.clock()
        rows = [RecoveryCode(person_id=person.id, code_sha256=_recovery_hash(code), made_at=at) for code in made]
        session.add_all(rows)
        session.flush()  # before the old ones go, whose ids SQLite would give again
        session.execute(delete(RecoveryCode).where(mine, RecoveryCode.id <= newest))
        changed(
            session, use, caller, person, EntryKind.PERSON_FACTOR_ADD, "Your recovery codes were replaced", at,
            factor="recovery_codes",
        )  # fmt: skip
    return made


def passkeys(session: Session, person_id: int | None) -> Sequence[Passkey]:
    """A person's passkeys, in the order of their adding."""
    return session.scalars(select(Passkey).where(Passkey.person_id == person_id).order_by(Passkey.id)).all()


def has_own(session: Session, person: Person) -> bool:
    """Whether somebody has a second factor here, whatever an identity provider knows of them."""
    codes = select(RecoveryCode.id).where(RecoveryCode.person_id == person.id, RecoveryCode.used_at.is_(None))
    return person.has_app or bool(passkeys(session, person.id)) or session.scalar(codes.limit(1)) is not None


def opens_alone(session: Session, person: Person) -> bool:
    """Whether somebody can sign in without an identity provider."""
    return bool(passkeys(session, person.id)) or (person.has_password and has_own(session, person))


def name_passkey(use: Resources, caller: Caller, passkey_id: int, name: str) -> None:
    """Call one of one's passkeys something else. Raises NotFound for anybody else's."""
    caller.require(Permission.ACCOUNT_MANAGE)
    with use.database.transaction() as session:
        passkey = _own_passkey(session, caller, passkey_id)
        if passkey.name == passkey_name(name):
            return
        passkey.name = passkey_name(name)
        person = session.get_one(Person, caller.person_id)
        record(session, caller, EntryKind.PERSON_FACTOR_NAME, person, use.clock(), factor="passkey", name=passkey.name)


def remove_passkey(use: Resources, caller: Caller, passkey_id: int) -> None:
    """Take away one of one's passkeys. Raises NotPossible for the last way in: with a password there is an app."""
    caller.require(Permission.ACCOUNT_MANAGE)
    with use.database.transaction() as session:
        passkey = _own_passkey(session, caller, passkey_id)
        session.delete(passkey)
        session.flush()
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        if not opens_alone(session, person) and not linked_identities.of_person(session, person.id):
            raise NotPossible(
                "Without this passkey you could not sign in any more.", next_step="Set up another way to sign in first."
            )
        changed(
            session, use, caller, person, EntryKind.PERSON_FACTOR_REMOVE, "A passkey was removed from your account",
            use.clock(),
            factor="passkey", name=passkey.name,
        )  # fmt: skip


def changed(
    session: Session,
    use: Resources,
    caller: Caller,
    person: Person,
    kind: EntryKind,
    subject: str,
    at: datetime,
    /,
    **more: str | int,
) -> None:
    """What follows from each change: no other session outlives it, the log tells of it, and a mail its person."""
    sessions.end_all(session, person.id, at, "a second factor was changed", but=caller.session_id)
    record(session, caller, kind, person, at, **more)
    tell(session, use, person, subject, "You are signed out everywhere else.", at)


def tell(session: Session, use: Resources, person: Person, subject: str, more: str, at: datetime) -> None:
    """Tell somebody what was changed of what they sign in with: if it was not them, nobody else would notice."""
    text = f"If this was not you, contact {use.settings.contact} immediately.\n\n{subject} ({dates.minute(at)}). {more}"
    mails.queue(session, use, "account_changed", person.email, subject, text, at)


def passkey_name(text: str) -> str:
    """Raises InvalidRequest."""
    name = text.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InvalidRequest("Enter a name for the passkey, in 100 characters or fewer.")
    return name


def _pending(use: Resources, caller: Caller, begun: Ceremony) -> str:
    if begun.person_id != caller.person_id or begun.challenge is None:
        raise NotPossible("This was started by someone else.", next_step="Start again.")
    return keys.unseal(use.secret, "totp", begun.challenge).decode()


def _own_passkey(session: Session, caller: Caller, passkey_id: int) -> Passkey:
    mine = select(Passkey).where(Passkey.id == passkey_id, Passkey.person_id == caller.person_id)
    passkey = session.scalar(mine.with_for_update())
    if passkey is None:
        raise NotFound("You have no such passkey.", next_step="Your account page lists your passkeys.")
    return passkey


def _recovery_code() -> str:
    """Four groups of four, as people copy them."""
    text = b32encode(token_bytes(RECOVERY_BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _recovery_hash(code: str) -> bytes:
    """Of what counts in it: people type spaces, capitals, and other dashes."""
    return hashlib.sha256("".join(c for c in code.lower() if c.isalnum()).encode()).digest()
