"""Linking: somebody who has just proven who they are lets an identity of a provider sign them in, or no longer."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.accounts import factors, provider_sign_in
from server.domain.accounts.provider_ceremonies import Back
from server.domain.callers import HANDED, HANDED_NEXT, Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import IdentityNotAccepted, NotFound, NotPermitted, NotPossible
from server.domain.identity import linked_identities, people
from server.domain.identity.linked_identities import LinkedIdentity
from server.domain.identity.people import Person
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.identity_providers import IdentityProvider, only_way_in


def require_linkable(caller: Caller) -> None:
    """Raise NotPermitted where somebody else could sign in as they: that one would link an identity of their own."""
    caller.require(Permission.ACCOUNT_MANAGE)
    if caller.is_handed:
        raise NotPermitted(HANDED, next_step=HANDED_NEXT)


def link(use: Resources, caller: Caller, back: Back) -> None:
    """Let somebody sign in with an identity from now on. Every other session of theirs ends.

    Raises NotPermitted, IdentityNotAccepted, NotPossible (it is linked already, here or to somebody else).
    """
    require_linkable(caller)
    if back.person_id != caller.person_id:
        raise IdentityNotAccepted("This was started by someone else.")
    with use.database.transaction() as session:
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        provider_sign_in.require_provider_of(back.provider, person)
        at = use.clock()
        identity = add(session, person, back.provider, back.proof.subject, at)
        factors.changed(
            session, use, caller, person, EntryKind.PERSON_IDENTITY_LINK,
            f"You can now sign in with {back.provider.name}", at, **told(identity),
        )  # fmt: skip


def add(session: Session, person: Person, provider: IdentityProvider, subject: str, at: datetime) -> LinkedIdentity:
    """Insert the link. Raises NotPossible where the identity is linked, or the person has one of this provider."""
    if linked_identities.find(session, provider.issuer, subject) is not None:
        raise NotPossible(
            f"This identity at {provider.name} is already linked to an account.",
            next_step="Sign in with it, or sign in there as someone else first.",
        )
    if linked_identities.at_issuer(session, person.id, provider.issuer) is not None:
        raise NotPossible(
            f"Another identity at {provider.name} is already linked to your account.", next_step="Remove it first."
        )
    identity = LinkedIdentity(person_id=person.id, issuer=provider.issuer, subject=subject, linked_at=at)
    session.add(identity)
    session.flush()
    return identity


def record_accepted(session: Session, caller: Caller, person: Person, identity: LinkedIdentity, at: datetime) -> None:
    """Append that an account began with an identity."""
    people.record(session, caller, EntryKind.PERSON_IDENTITY_LINK, person, at, **told(identity))


def unlink(use: Resources, caller: Caller, identity_id: int) -> None:
    """Let nobody sign in with an identity any more. Every other session of the person ends.

    Raises NotFound for anybody else's, NotPossible for the last way in.
    """
    caller.require(Permission.ACCOUNT_MANAGE)
    with use.database.transaction() as session:
        person = session.get_one(Person, caller.person_id, with_for_update=True)
        mine = LinkedIdentity.id == identity_id, LinkedIdentity.person_id == person.id
        identity = session.scalar(select(LinkedIdentity).where(*mine))
        if identity is None:
            raise NotFound("You have no such identity.", next_step="Your account page lists your identities.")
        if not _has_another_way(session, use, person, identity):
            raise NotPossible(
                "Without this identity you could not sign in any more.",
                next_step="Add a passkey, or a password and an authenticator app, then remove it.",
            )
        at, known = use.clock(), told(identity)
        session.delete(identity)
        session.flush()
        factors.changed(
            session, use, caller, person, EntryKind.PERSON_IDENTITY_UNLINK,
            "An identity was removed from your account", at, **known,
        )  # fmt: skip


def told(identity: LinkedIdentity) -> dict[str, str | int]:
    """What an entry tells of a link."""
    return {"identity": identity.id, "issuer": identity.issuer, "subject": identity.subject}


def _has_another_way(session: Session, use: Resources, person: Person, without: LinkedIdentity) -> bool:
    providers = use.settings.identity_providers
    others = {one.issuer for one in linked_identities.of_person(session, person.id) if one.id != without.id}
    own = factors.has_own(session, person)
    for provider in providers:
        is_theirs = provider.issuer in others and person.organization.slug in provider.organizations
        if is_theirs and (own or provider.confirms_second_factor):
            return True
    return only_way_in(providers, person.organization.slug) is None and factors.opens_alone(session, person)
