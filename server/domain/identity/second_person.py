"""The second person: who may approve what another proposed, so that two people have decided, and not one twice."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.errors import InsufficientScope, NotPermitted, NotPossible
from server.domain.identity import known_credentials, role_grants
from server.domain.identity.people import Person
from server.domain.permissions import POLICY, Permission, Role


def require(session: Session, caller: Caller, proposed_by: int | None, permission: Permission) -> None:
    """Raise unless the caller can be the second person for what `proposed_by` proposed (None: nobody in particular).

    permission: what the proposer needed to propose it, and needs still. Raises NotPossible, which names those who can:
    for the proposer's own, where the caller's role was not given by two people, and where one of them could act in the
    other's name. Raises InsufficientScope for a token. Whoever changes what this rests on locks their rows first; so
    does this, until the transaction ends.
    """
    if caller.via == "token":
        raise InsufficientScope("Tokens cannot approve anything. A person must sign in.", next_step="Use the portal.")
    both = select(Person).where(Person.id.in_((caller.person_id, proposed_by))).order_by(Person.id)
    locked = session.scalars(both.with_for_update(read=True), execution_options={"populate_existing": True}).all()
    person = next((one for one in locked if one.id == caller.person_id), None)
    if person is None:
        raise NotPermitted
    if person.id == proposed_by:
        raise NotPossible(
            "You proposed this yourself, so another admin must approve it.", next_step=_who(session, proposed_by)
        )
    if proposed_by is not None and (why := lapsed(session, proposed_by, permission)) is not None:
        raise NotPossible(why, next_step="Reject it (if it is a clearance, revoke it), then propose it again.")
    if (why := fault(session, person, proposed_by)) is not None:
        raise NotPossible(why, next_step=_who(session, proposed_by))


def lapsed(session: Session, proposed_by: int, permission: Permission) -> str | None:
    """Why nobody can approve this any more: who proposed it could not propose it now. None where they could."""
    proposer = session.get_one(Person, proposed_by)
    if proposer.disabled_at is None and proposer.role in POLICY[permission].roles:
        return None
    return f"{proposer.email}, who proposed this, may no longer do so."


def fault(session: Session, person: Person, proposed_by: int | None) -> str | None:
    """Why somebody else than the proposer cannot be the second person; None where they can."""
    grant = role_grants.standing(session, person)
    if grant is None:
        return (
            f"The role {person.role} was given to {person.email} by one person alone. To approve what others propose, "
            "it must first be given again by two other admins."
        )
    if person.is_handed:
        return f"{person.email} still signs in with what another person set up, who could act in that name."
    if proposed_by is None:
        return None
    for one, by in ((person.id, proposed_by), (proposed_by, person.id)):
        if known_credentials.are_known(session, one, by):
            names = [session.get_one(Person, key).email for key in (by, one)]
            return (
                f"{names[0]} has set a password for {names[1]} since that role was given, and could act in that name: "
                "proposing and approving could be one person's."
            )
    return None


def able(session: Session, proposed_by: int | None) -> list[Person]:
    """The admins who can approve what this person proposed, oldest first."""
    admins = select(Person).where(Person.role == Role.ADMIN, Person.disabled_at.is_(None)).order_by(Person.id)
    return [
        admin
        for admin in session.scalars(admins)
        if admin.id != proposed_by and fault(session, admin, proposed_by) is None
    ]


def _who(session: Session, proposed_by: int | None) -> str:
    who = [admin.email for admin in able(session, proposed_by)]
    if not who:
        return "No other admin can approve this now. SECURITY.md says what to do when an admin is lost."
    return f"Ask {' or '.join(who)} to approve it."
