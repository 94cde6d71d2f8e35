"""Sign-in by an identity provider: whom (issuer, subject) is linked to, with the second factor that the lab demands."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from server.domain.accounts import ceremonies, factors, sign_in
from server.domain.accounts.ceremonies import Kind
from server.domain.accounts.provider_ceremonies import Back
from server.domain.accounts.sign_in import SignedIn
from server.domain.callers import Caller
from server.domain.errors import IdentityNotAccepted
from server.domain.identity import linked_identities, sessions
from server.domain.identity.linked_identities import LinkedIdentity
from server.domain.identity.people import Person
from server.domain.permissions import Role
from server.domain.resources import Resources
from server.identity_providers import IdentityProvider, of_organization

CLOCKS_DIFFER = timedelta(seconds=60)
FACTOR = "provider"  # what a session keeps, where the provider's own second factor was trusted


def complete(use: Resources, stranger: Caller, back: Back) -> SignedIn | str:
    """Sign in whom the identity is linked to, or return the ceremony of the second factor that is still asked for.

    Raises IdentityNotAccepted, PersonDisabled, OrganizationSuspended.
    """
    with use.database.transaction() as session:
        identity = _linked(session, back)
        person = sign_in.lock(session, identity.person_id)
        require_provider_of(back.provider, person)
        sign_in.require_standing(session, use, stranger, person)
        at = use.clock()
        identity.used_at = at
        if back.has_second_factor:
            proved_at = _proved_at(back, at)
            secret = sessions.begin(session, stranger, person.id, FACTOR, at, back.proof.issuer, proved_at)
            return SignedIn(secret, Role(person.role), person.email)
        if not factors.has_own(session, person):
            raise IdentityNotAccepted(
                f"{back.provider.name} did not confirm a second factor, and this account has none of its own.",
                next_step=f"Set up a second factor at {back.provider.name} and try again, or contact {{contact}}.",
            )
        mark = sign_in.mark(person, back.proof.issuer)
    return ceremonies.begin(use, Kind.SECOND_FACTOR, person.id, mark)


def confirm(use: Resources, caller: Caller, back: Back) -> SignedIn:
    """Let somebody who is signed in prove themselves anew at the provider; returns the session with its new secret.

    Raises IdentityNotAccepted: it is somebody else's identity, or the provider says of no new sign-in, or of no second
    factor.
    """
    with use.database.transaction() as session:
        person = sign_in.lock(session, caller.person_id)
        identity = linked_identities.find(session, back.proof.issuer, back.proof.subject)
        if back.person_id != person.id or identity is None or identity.person_id != person.id:
            raise IdentityNotAccepted(f"This is not the identity at {back.provider.name} that is linked to you.")
        require_provider_of(back.provider, person)
        at, signed_in_at = use.clock(), back.proof.signed_in_at
        if signed_in_at is None or not back.began_at - CLOCKS_DIFFER <= signed_in_at <= at + CLOCKS_DIFFER:
            raise IdentityNotAccepted(
                f"{back.provider.name} did not ask you to sign in again, so this proves nothing new.",
                next_step="Confirm with a code from your app or with a passkey, or sign out and in again.",
            )
        if not back.has_second_factor:
            raise IdentityNotAccepted(
                f"{back.provider.name} did not confirm a second factor.",
                next_step="Try again with your second factor there, or confirm with a code from your app or a passkey.",
            )
        identity.used_at = at
        return sign_in.confirmed(session, use, caller, person)


def require_provider_of(provider: IdentityProvider, person: Person) -> None:
    """Raise IdentityNotAccepted for somebody of an organization that this provider does not sign in."""
    if person.organization.slug not in provider.organizations:
        raise IdentityNotAccepted(
            f"{provider.name} does not sign in people of your organization.",
            next_step="Sign in another way, or contact {contact}.",
        )


def _linked(session: Session, back: Back) -> LinkedIdentity:
    """Never by an e-mail address: whoever is given somebody's old one would get their account."""
    identity = linked_identities.find(session, back.proof.issuer, back.proof.subject)
    if identity is None:
        raise IdentityNotAccepted(
            f"{back.provider.name} confirmed who you are, but no account here is linked to that identity.",
            next_step="If you have an account, sign in another way and link the identity on your account page. If you "
            "were invited, open the link in the email. Otherwise, ask your organization’s owner or {contact}.",
        )
    return identity


def _proved_at(back: Back, at: datetime) -> datetime:
    """When they last proved who they are: a sign-in at the provider this morning is none for an act of the lab now."""
    stale = at - sessions.FRESH_FOR
    return max(stale, min(at, back.proof.signed_in_at or stale))


def ways_to_confirm(session: Session, use: Resources, caller: Caller) -> tuple[bool, list[IdentityProvider]]:
    """How somebody can prove themselves anew, besides by passkey: by an app, and by which providers."""
    person = session.get(Person, caller.person_id)
    if person is None:
        return True, []
    linked = {one.issuer for one in linked_identities.of_person(session, person.id)}
    known = of_organization(use.settings.identity_providers, person.organization.slug)
    return person.has_app, [one for one in known if one.issuer in linked and one.confirms_second_factor]
