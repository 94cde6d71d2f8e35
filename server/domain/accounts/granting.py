"""Granting: a role of the lab is proposed by one admin and given by another, who is not merely the first one again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from server.domain import long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPermitted, NotPossible
from server.domain.identity import known_credentials, people, role_grants, second_person
from server.domain.identity.people import Person
from server.domain.identity.role_grants import RoleGrant
from server.domain.mail import notices
from server.domain.permissions import STAFF, Permission, Role
from server.domain.resources import Resources


def add(
    use: Resources, caller: Caller, organization: str, email: str, name: str, role: Role, password: str | None = None
) -> tuple[str, str]:
    """Add a person to any organization; in the lab, their role waits for a second admin. See `people.add`."""
    if role not in STAFF:
        return people.add(use, caller, organization, email, name, role, password)
    caller.require(Permission.ROLE_GRANT)
    handed = password is None
    password = people.new_password() if password is None else password
    hashed = people.hash_password(password)  # before the transaction: hashing is slow on purpose
    with use.database.transaction() as session:
        home = people.managed_home(session, caller, organization)
        people.require_new(session, email, caller)
        person, totp_secret = people.create(session, use, home, email, name, Role.PENDING, hashed, handed=handed)
        at = use.clock()
        known_credentials.note(session, person.id, caller.person_id, at)
        told = propose_in(session, use, person, role, session.get_one(Person, caller.person_id), at)
        people.record(session, caller, EntryKind.PERSON_ADD, person, at, handed=handed, **told)
    return password, totp_secret


def propose(use: Resources, caller: Caller, email: str, role: Role) -> RoleGrant:
    """Propose another role for somebody of the lab, who keeps theirs until a second admin approves.

    The role that they have can be proposed where one person alone gave it, or where somebody has set their password
    since: given anew by two, it counts fully.
    """
    caller.require(Permission.ROLE_GRANT)
    with use.database.transaction() as session:
        person = people.managed(session, caller, email)
        people.require_fit(person.organization, role)
        if not person.organization.is_lab:
            raise NotPossible("Roles in a partner are changed at once.")
        if caller.person_id == person.id:
            raise NotPossible("You cannot propose your own role. Ask another admin to.")
        if person.role == role and _is_whole(session, person):
            raise NotPossible(f"{person.email} already has the role {role}.")
        at = use.clock()
        told = propose_in(session, use, person, role, session.get_one(Person, caller.person_id), at)
        people.record(session, caller, EntryKind.ROLE_PROPOSE, person, at, **told)
        return _open(session, person)


def propose_in(
    session: Session, use: Resources, person: Person, role: Role, proposer: Person, at: datetime
) -> dict[str, str | int]:
    """Propose inside the caller's transaction; returns what the entry tells of it."""
    people.require_fit(person.organization, role)
    if (known := role_grants.open_of(session, person)) is not None:
        raise NotPossible(
            f"The role {known.role} is already proposed for {person.email}.", next_step="Approve or reject that first."
        )
    grant = RoleGrant(person=person, role=role, proposer=proposer, proposed_at=at)
    session.add(grant)
    session.flush()
    notices.role_waits(session, use, person, role, proposer, at)
    return {"proposed_role": str(role), "proposed_by": proposer.email, "grant": grant.id}


def approve(use: Resources, caller: Caller, email: str) -> RoleGrant:
    """Give somebody the role that another admin proposed for them. Raises what `second_person.require` raises."""
    caller.require(Permission.ROLE_GRANT)
    with use.database.transaction() as session:
        person = people.managed(session, caller, email)
        grant = _open(session, person)
        if caller.person_id == person.id:
            raise NotPossible("You cannot approve your own role. Ask another admin to.")
        second_person.require(session, caller, grant.proposed_by, Permission.ROLE_GRANT)
        if person.disabled_at is not None:
            raise NotPossible(f"{person.email} is disabled.", next_step="Enable the account first, or reject the role.")
        if person.role != grant.role:
            people.require_another(session, person)
        at = use.clock()
        role_grants.replace(session, person.id, caller.person_id, at)
        known_credentials.vouch(session, person.id, at)
        before, person.role = str(person.role), grant.role
        grant.approved_by, grant.approved_at = caller.person_id, at
        notices.role_given(session, use, person, Role(grant.role), at)
        people.record(
            session, caller, EntryKind.ROLE_GRANT, person, at, before=before, grant=grant.id,
            proposed_by=grant.proposer.email if grant.proposer else "",
        )  # fmt: skip
        return grant


def reject(use: Resources, caller: Caller, email: str) -> RoleGrant:
    """Close what waits for a second admin: for its proposer a withdrawal. The person keeps the role that they have."""
    caller.require(Permission.ROLE_GRANT)
    with use.database.transaction() as session:
        person = people.managed(session, caller, email)
        grant = _open(session, person)
        if caller.person_id == person.id:
            raise NotPossible("You cannot decide on your own role. Ask another admin to.")
        own = grant.proposed_by == caller.person_id
        at = use.clock()
        grant.closed_by, grant.closed_at = caller.person_id, at
        grant.closed_because = "withdrawn" if own else "rejected"
        kind = EntryKind.ROLE_WITHDRAW if own else EntryKind.ROLE_REJECT
        people.record(session, caller, kind, person, at, grant=grant.id, proposed_role=str(grant.role))
        return grant


def restore(use: Resources, caller: Caller, email: str, because: str) -> None:
    """Make somebody of the lab an admin by one person alone, where no second one is left who could approve.

    On the host only, with the owner's role in the database: whoever has those can do anything anyway. The entry says so
    for good, and each verification of the log repeats it.
    """
    caller.require(Permission.ROLE_GRANT)
    because = long_texts.require(because, "why nobody else can approve it")
    owner = use.as_owner()
    try:
        with owner.database.transaction() as session:
            person = people.managed(session, caller, email)
            people.require_fit(person.organization, Role.ADMIN)
            if caller.via != "cli" or caller.person_id == person.id:
                raise NotPermitted("An admin is restored on the host, by another admin.")
            if person.disabled_at is not None:
                raise NotPossible(f"{person.email} is disabled.", next_step="Enable the account first.")
            if able := [one.email for one in second_person.able(session, caller.person_id) if one.id != person.id]:
                raise NotPossible(
                    "Another admin can still approve a role.",
                    next_step=f"`person propose {person.email} --role admin`, then ask {' or '.join(able)}.",
                )
            at = use.clock()
            role_grants.replace(session, person.id, caller.person_id, at)
            known_credentials.vouch(session, person.id, at)
            before, person.role = str(person.role), Role.ADMIN
            session.flush()
            role_grants.root(session, person, at, caller.person_id)
            notices.role_given(session, use, person, Role.ADMIN, at)
            people.record(session, caller, EntryKind.ROLE_RESTORE, person, at, before=before, because=because)
    finally:
        owner.close()


@dataclass(frozen=True, slots=True)
class Standing:
    """What a role of the lab rests on, and what waits. able: who could approve what waits."""

    given: RoleGrant | None
    waits: RoleGrant | None
    able: Sequence[Person]


def standing_of(session: Session, person: Person) -> Standing:
    """For whoever may see the person."""
    grants = role_grants.of_people(session, [person.id]).get(person.id, [])
    waits = next((grant for grant in grants if grant.approved_at is None), None)
    given = next((grant for grant in grants if grant.approved_at is not None and grant.role == person.role), None)
    able = [] if waits is None else second_person.able(session, waits.proposed_by)
    return Standing(given, waits, [admin for admin in able if admin.id != person.id])


def _open(session: Session, person: Person) -> RoleGrant:
    grant = role_grants.open_of(session, person)
    if grant is None:
        raise NotPossible(
            f"No role is waiting to be approved for {person.email}.",
            next_step="Propose one first. The list of people shows which roles wait.",
        )
    return grant


def _is_whole(session: Session, person: Person) -> bool:
    """Whether nothing would be different if two people gave them their role anew."""
    return role_grants.standing(session, person) is not None and not known_credentials.of_anybody(session, person.id)
