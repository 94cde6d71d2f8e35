"""Rules for who gave whom a role of the lab: proposed by one, given by another, who is not the first one again."""

from collections.abc import Iterator

from server.domain.audit.judging.world import Person, Record, RoleGrant, Rule, World
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import STAFF, Permission, Role


def joined(world: World, record: Record, email: str, proposer: str | None) -> Iterator[str]:
    """Judge a new person of the lab: under the rule of two, their role waits."""
    if record["role"] == Role.PENDING:
        yield from _proposed(world, record, email, proposer)
    elif world.two_people and record["role"] in STAFF:
        yield f"it makes {email} {record['role']} by one person alone"


def _proposed(world: World, record: Record, email: str, proposer: str | None) -> Iterator[str]:
    if record["grant"] in world.role_grants:
        yield f"role grant {record['grant']} already exists"
    if any(one.is_open for one in world.role_grants.values() if one.person == email):
        yield f"it proposes a second role for {email} while another one waits"
    if record["proposed_by"] != proposer:
        yield f"it says that {record['proposed_by']} proposed it, but it was {proposer}"
    if record["proposed_role"] not in STAFF:
        yield f"{record['proposed_role']} is not a role in the lab"
    world.role_grants[record["grant"]] = RoleGrant(email, record["proposed_role"], proposer)


def _propose(world: World, record: Record) -> Iterator[str]:
    email, by = record["person"], record["actor"].get("person")
    if world.people.get(email) is None or world.people[email].organization != world.lab:
        yield f"it proposes a role for {email}, who does not belong to the lab"
    if email == by:
        yield "nobody can propose their own role"
    yield from _proposed(world, record, email, by)


def _grant(world: World, record: Record) -> Iterator[str]:
    email, by = record["person"], record["actor"].get("person")
    about, grant = world.people.get(email), world.role_grants.get(record["grant"])
    if about is None or grant is None or not grant.is_open:
        yield "it gives a role that was not proposed"
        return
    if (grant.person, grant.role, grant.proposed_by) != (email, record["role"], record["proposed_by"]):
        yield "it gives a different role than was proposed"
    if record["before"] != about.role:
        yield f"it says that {email} was {record['before']}, but they were {about.role}"
    fault = "nobody can approve their own role" if by == email else world.second_person_fault(by, grant.proposed_by)
    if fault is not None:
        yield fault
    if not world.may(grant.proposed_by, Permission.ROLE_GRANT):
        yield f"{grant.proposed_by}, who proposed it, was no longer allowed to"
    _give(world, email, about, grant, by, whole=fault is None)


def _give(world: World, email: str, about: Person, grant: RoleGrant, by: str | None, *, whole: bool) -> None:
    world.end_grants(email)
    grant.approved_by, grant.state = by, "standing"
    about.role, about.given_by_two = grant.role, whole
    about.known_by.clear()


def _restore(world: World, record: Record) -> Iterator[str]:
    """No fault, and no secret either: each verification repeats it."""
    email, by = record["person"], record["actor"].get("person")
    about = world.people.get(email)
    if about is None or about.organization != world.lab:
        yield f"it restores {email}, who does not belong to the lab"
        return
    if record["actor"].get("via") != "cli" or by == email:
        yield "an admin is restored on the host, by another admin"
    if record["before"] != about.role:
        yield f"it says that {email} was {record['before']}, but they were {about.role}"
    world.end_grants(email)
    world.role_grants[f"of {email}"] = RoleGrant(email, Role.ADMIN, by, None, "standing")
    about.role, about.given_by_two = Role.ADMIN, True
    about.known_by.clear()
    world.notes.append(f"{email} was made an admin on the host by {by} alone: {record['because']}")


def _close(world: World, record: Record) -> Iterator[str]:
    grant, by = world.role_grants.get(record["grant"]), record["actor"].get("person")
    if grant is None or not grant.is_open or grant.person != record["person"]:
        yield "it closes a proposed role that was not open"
        return
    if (record["kind"] == EntryKind.ROLE_WITHDRAW) != (by == grant.proposed_by):
        yield "a proposed role is withdrawn by its proposer and rejected by others"
    grant.state = "closed"


def _adopt(world: World, record: Record) -> Iterator[str]:
    new = set(record.get("takes_two", ())) - world.takes_two
    if world.two_people and not new:
        yield "the rule of two people was already adopted"
    world.two_people, world.takes_two = True, world.takes_two | new
    for email in record["first_admins"]:
        if not (known := world.people.get(email)) or not known.given_by_two:
            yield f"it calls {email} one of the first two admins"


RULES: dict[EntryKind, Rule] = {
    EntryKind.ROLE_PROPOSE: _propose,
    EntryKind.ROLE_GRANT: _grant,
    EntryKind.ROLE_RESTORE: _restore,
    EntryKind.ROLE_REJECT: _close,
    EntryKind.ROLE_WITHDRAW: _close,
    EntryKind.RULES_ADOPT: _adopt,
}
