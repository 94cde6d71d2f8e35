"""Sign-in: a password and a second factor, or a passkey, become a session; and later, that it is still the person."""

import hashlib
import hmac
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from server.domain.accounts import ceremonies, factors, passkeys
from server.domain.accounts.ceremonies import Kind
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.domain.identity import authentication, linked_identities, people, sessions
from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.domain.resources import Resources
from server.identity_providers import only_way_in


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun. codes_left: of the recovery codes, when one was used."""

    secret: str
    role: Role
    email: str
    codes_left: int | None = None


def begin(use: Resources, email: str, password: str) -> str:
    """Take the first factor; returns the ceremony's secret. Raises what `people.prove` raises, and NotPermitted."""
    person = people.prove(use, email, password)
    _require_own_way(use, person)
    return ceremonies.begin(use, Kind.SECOND_FACTOR, person.id, mark(person))


def waiting(use: Resources, ceremony: str | None) -> Person:
    """Who has shown a password or an identity, and not yet a second factor. Raises NotPossible when that is over."""
    with use.database.reading() as session:
        begun = ceremonies.running(session, use, ceremony, Kind.SECOND_FACTOR)
        return session.get_one(Person, begun.person_id)


def by_totp(use: Resources, stranger: Caller, ceremony: str | None, code: str) -> SignedIn:
    """Sign in with a one-time code after the password. Raises InvalidRequest and NotPossible."""
    begun = ceremonies.attempt(use, ceremony, Kind.SECOND_FACTOR)
    with use.database.transaction() as session:
        person = lock(session, begun.person_id)
        factors.accept_totp(session, use, person, code)
        return _finish(session, use, stranger, begun, person, "totp")


def by_recovery_code(use: Resources, stranger: Caller, ceremony: str | None, code: str) -> SignedIn:
    """The same with a recovery code, which is used up."""
    begun = ceremonies.attempt(use, ceremony, Kind.SECOND_FACTOR)
    with use.database.transaction() as session:
        person = lock(session, begun.person_id)
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
        person = lock(session, caller.person_id)
        factors.accept_totp(session, use, person, code)
        return confirmed(session, use, caller, person)


def confirm_by_passkey(use: Resources, caller: Caller, challenge: str | None, answer: str) -> SignedIn:
    """The same with a passkey."""
    with use.database.transaction() as session:
        asked = ceremonies.running(session, use, challenge, Kind.PASSKEY)
        person = passkeys.accept(session, use, asked, answer)
        if person.id != caller.person_id:
            raise InvalidRequest("This passkey belongs to another account.", next_step="Use one of your own passkeys.")
        return confirmed(session, use, caller, person)


def lock(session: Session, person_id: int | None) -> Person:
    return session.get_one(Person, person_id, with_for_update=True)


def require_standing(session: Session, use: Resources, stranger: Caller, person: Person) -> None:
    """Locked, so that whoever disables the person ends this session too, or is seen by it."""
    role = Role(person.role)
    caller = replace(stranger, person_id=person.id, organization_id=person.organization_id, role=role)
    refused = authentication.fault(authentication.standing(session, caller, lock=True), caller, use.clock())
    if refused is not None:
        raise refused


def confirmed(session: Session, use: Resources, caller: Caller, person: Person) -> SignedIn:
    """The session of somebody who has just proven themselves anew, with its new secret."""
    secret = sessions.prove(session, caller.session_id or 0, use.clock())
    return SignedIn(secret, Role(person.role), person.email)


def mark(person: Person, issuer: str = "") -> bytes:
    """What a sign-in began with: a password, by its hash, or an identity of this issuer. If it is another one by now,
    the sign-in does not end well.
    """
    return hashlib.sha256(person.password_hash.encode()).digest() + issuer.encode()


def _finish(
    session: Session, use: Resources, stranger: Caller, begun: ceremonies.Ceremony, person: Person, factor: str
) -> SignedIn:
    issuer = _issuer_of(begun)
    if not hmac.compare_digest(begun.challenge or b"", mark(person, issuer)):
        raise NotPossible("The password was changed while you were signing in.", next_step="Start again.")
    if issuer and linked_identities.at_issuer(session, person.id, issuer) is None:
        raise NotPossible("The identity was removed while you were signing in.", next_step="Start again.")
    ceremonies.finish(session, begun, use.clock())
    return _session(session, use, stranger, person, factor, issuer)


def _session(
    session: Session, use: Resources, stranger: Caller, person: Person, factor: str, issuer: str = ""
) -> SignedIn:
    if not issuer:
        _require_own_way(use, person)
    require_standing(session, use, stranger, person)
    secret = sessions.begin(session, stranger, person.id, factor, use.clock(), issuer or None)
    return SignedIn(secret, Role(person.role), person.email)


def _issuer_of(begun: ceremonies.Ceremony) -> str:
    """The issuer of the identity that a sign-in began with; nothing for a password."""
    return (begun.challenge or b"")[hashlib.sha256().digest_size :].decode()


def _require_own_way(use: Resources, person: Person) -> None:
    """Raise NotPermitted for somebody whom an identity provider alone signs in: what it ends, nothing here goes on."""
    provider = only_way_in(use.settings.identity_providers, person.organization.slug)
    if provider is not None:
        raise NotPermitted(
            f"People of your organization sign in with {provider.name} only.",
            next_step=f"Go back to the sign-in page and choose “Sign in with {provider.name}”.",
        )
