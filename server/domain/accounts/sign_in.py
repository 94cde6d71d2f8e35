"""Sign-in: a password and a second factor, or a passkey, become a session; and later, that it is still the person."""

import hashlib
import hmac
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from server.domain.accounts import ceremonies, factors, passkeys
from server.domain.accounts.ceremonies import Kind
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible, Refused
from server.domain.identity import authentication, people, sessions
from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.domain.resources import Resources


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun. codes_left: of the recovery codes, when one was used."""

    secret: str
    role: Role
    email: str
    codes_left: int | None = None


def begin(use: Resources, email: str, password: str) -> str:
    """Take the first factor; returns the ceremony's secret. Raises what `people.prove` raises."""
    person = people.prove(use, email, password)
    return ceremonies.begin(use, Kind.SECOND_FACTOR, person.id, _mark(person))


def waiting(use: Resources, ceremony: str | None) -> Person:
    """Who has shown a password and not yet a second factor. Raises NotPossible when that is over."""
    with use.database.reading() as session:
        begun = ceremonies.running(session, use, ceremony, Kind.SECOND_FACTOR)
        return session.get_one(Person, begun.person_id)


def by_totp(use: Resources, stranger: Caller, ceremony: str | None, code: str) -> SignedIn:
    """Sign in with a one-time code after the password. Raises InvalidRequest and NotPossible."""
    begun = ceremonies.attempt(use, ceremony, Kind.SECOND_FACTOR)
    with use.database.transaction() as session:
        person = _lock(session, begun.person_id)
        factors.accept_totp(session, use, person, code)
        return _finish(session, use, stranger, begun, person, "totp")


def by_recovery_code(use: Resources, stranger: Caller, ceremony: str | None, code: str) -> SignedIn:
    """The same with a recovery code, which is used up."""
    begun = ceremonies.attempt(use, ceremony, Kind.SECOND_FACTOR)
    with use.database.transaction() as session:
        person = _lock(session, begun.person_id)
        left = factors.accept_recovery_code(session, person.id, code, use.clock())
        return replace(_finish(session, use, stranger, begun, person, "recovery_code"), codes_left=left)


def by_passkey(
    use: Resources, stranger: Caller, challenge: str | None, answer: str, ceremony: str | None = None
) -> SignedIn:
    """Sign in with a passkey: alone, or after the password that `ceremony` stands for."""
    if ceremony is None:
        with use.database.transaction() as session:
            asked = ceremonies.running(session, use, challenge, Kind.PASSKEY)
            person = passkeys.accept(session, use, asked, answer)
            return _session(session, use, stranger, person, "passkey")
    begun = ceremonies.attempt(use, ceremony, Kind.SECOND_FACTOR)
    with use.database.transaction() as session:
        asked = ceremonies.running(session, use, challenge, Kind.PASSKEY)
        person = passkeys.accept(session, use, asked, answer)
        if person.id != begun.person_id:
            raise InvalidRequest("This passkey belongs to another account.", next_step="Use one of your own passkeys.")
        return _finish(session, use, stranger, begun, person, "passkey")


def confirm_by_totp(use: Resources, caller: Caller, code: str) -> SignedIn:
    """Let somebody who is signed in prove themselves anew; returns the session with its new secret."""
    with use.database.transaction() as session:
        person = _lock(session, caller.person_id)
        factors.accept_totp(session, use, person, code)
        return _confirmed(session, use, caller, person)


def confirm_by_passkey(use: Resources, caller: Caller, challenge: str | None, answer: str) -> SignedIn:
    """The same with a passkey."""
    with use.database.transaction() as session:
        asked = ceremonies.running(session, use, challenge, Kind.PASSKEY)
        person = passkeys.accept(session, use, asked, answer)
        if person.id != caller.person_id:
            raise InvalidRequest("This passkey belongs to another account.", next_step="Use one of your own passkeys.")
        return _confirmed(session, use, caller, person)


def _lock(session: Session, person_id: int | None) -> Person:
    return session.get_one(Person, person_id, with_for_update=True)


def _finish(
    session: Session, use: Resources, stranger: Caller, begun: ceremonies.Ceremony, person: Person, factor: str
) -> SignedIn:
    if not hmac.compare_digest(begun.challenge or b"", _mark(person)):
        raise NotPossible("The password was changed while you were signing in.", next_step="Start again.")
    ceremonies.finish(session, begun, use.clock())
    return _session(session, use, stranger, person, factor)


def _session(session: Session, use: Resources, stranger: Caller, person: Person, factor: str) -> SignedIn:
    refused = _standing(session, use, stranger, person)
    if refused is not None:
        raise refused
    secret = sessions.begin(session, stranger, person.id, factor, use.clock())
    return SignedIn(secret, Role(person.role), person.email)


def _standing(session: Session, use: Resources, stranger: Caller, person: Person) -> Refused | None:
    """Locked, so that whoever disables the person ends this session too, or is seen by it."""
    role = Role(person.role)
    caller = replace(stranger, person_id=person.id, organization_id=person.organization_id, role=role)
    return authentication.fault(authentication.standing(session, caller, lock=True), caller, use.clock())


def _confirmed(session: Session, use: Resources, caller: Caller, person: Person) -> SignedIn:
    secret = sessions.prove(session, caller.session_id or 0, use.clock())
    return SignedIn(secret, Role(person.role), person.email)


def _mark(person: Person) -> bytes:
    """Of the password that was right: a sign-in that began with another one does not end well."""
    return hashlib.sha256(person.password_hash.encode()).digest()
