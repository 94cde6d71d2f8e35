"""Who acted: somebody known, active, of that organization and of a role that includes it; with a token, a working one.

What each kind takes is one column of the table of kinds. `Caller` without a person is the operator's: only the
beginning of an instance is done so.
"""

from collections.abc import Iterator

from server import addresses
from server.domain.audit.judging.world import Person, Record, World
from server.domain.entry_kinds import KINDS, EntryKind
from server.domain.permissions import POLICY, STAFF, Permission

# Done from outside: by a link that was mailed, or by whoever can show a token that leaked.
_FROM_OUTSIDE = {EntryKind.PASSWORD_RESET, EntryKind.TOKEN_REVOKE_LEAKED}


def faults(world: World, kind: EntryKind, record: Record) -> Iterator[str]:
    """Yield what is wrong with whoever did it."""
    if kind == EntryKind.PERSON_ACCEPT_INVITATION:  # who is nobody yet: their invitation is what is judged
        return
    permission, actor = KINDS[kind].permission, record.get("actor", {})
    email, organization = actor.get("person"), actor.get("organization")
    if email is None:
        if permission is not None and not POLICY[permission].anonymous:
            yield "it names no person who did it"
        if organization is not None and kind != EntryKind.INSTANCE_BEGIN:
            yield "it names an organization but no person"
        return
    person = world.people.get(email)
    if person is None:
        if "person" not in world.forgotten:  # else an entry that was erased may have told of them
            yield f"{email}, who did it, is not known to the log"
        return
    if person.organization != organization:
        yield f"{email}, who did it, did not belong to {organization}"
    if person.role in STAFF and person.organization != world.lab:
        yield f"{email}, who did it, did not belong to the lab"
    yield from _standing(world, kind, email, person)
    if permission is not None and person.role not in POLICY[permission].roles:
        yield f"{email}, who did it, had the role {person.role}, which does not allow this"
    if actor.get("via") == "token":
        yield from _token_faults(world, permission, record)
    elif "token" in actor:
        yield "it names a token but was not done with one"


def _standing(world: World, kind: EntryKind, email: str, person: Person) -> Iterator[str]:
    if person.disabled and kind != EntryKind.TOKEN_REVOKE_LEAKED:
        yield f"{email}, who did it, was disabled"
    home = world.organizations.get(person.organization)
    if home is not None and home.suspended and kind not in _FROM_OUTSIDE:
        yield f"{person.organization}, whose {email} did it, was suspended"


def _token_faults(world: World, permission: Permission | None, record: Record) -> Iterator[str]:
    actor = record["actor"]
    name = actor.get("token", "")
    token = world.tokens.get(name)
    if token is None:
        if "token" not in world.forgotten:
            yield "it was done with a token that the log does not know"
        return
    if actor.get("workload") != token.workload:
        yield f"it names another workload than token {name}, with which it was done, was made for"
    if (token.person, token.organization) != (actor["person"], actor.get("organization")):
        yield f"token {name}, with which it was done, belongs to someone else"
    if permission is None:  # anybody could have done it
        return
    trusted = None if token.trust_record is None else world.trust_records.get(token.trust_record)
    if trusted is not None and trusted.revoked:
        yield f"trust record {token.trust_record}, under which token {name} was made, had been revoked"
    elif token.revoked:
        yield f"token {name}, with which it was done, had been revoked"
    if token.expires_at is not None and record["time"] > token.expires_at:
        yield f"token {name}, with which it was done, had expired"
    if not token.scopes & POLICY[permission].scopes:
        yield f"token {name}, with which it was done, does not have the required scope"
    if token.networks and not addresses.lies_in(token.networks, actor.get("address")):
        yield f"token {name}, with which it was done, is not allowed from that network"
