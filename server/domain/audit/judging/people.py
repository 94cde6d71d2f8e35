"""Rules for organizations, people, invitations and tokens: who is there, in which role, and what works for them."""

from collections.abc import Iterator
from dataclasses import replace

from server.domain.audit.judging import proposals, roles
from server.domain.audit.judging.world import (
    Identity,
    Invitation,
    JudgedByNothing,
    Organization,
    Person,
    Record,
    RoleGrant,
    Rule,
    Token,
    World,
)
from server.domain.entry_kinds import EntryKind
from server.domain.permissions import Role


def _begin(world: World, record: Record) -> Iterator[str]:
    if world.lab is not None:
        yield "an instance can only be created once"
        return
    world.lab = record["organization"]
    world.organizations[world.lab] = Organization(record.get("organization_id"), is_lab=True)
    world.two_people = record.get("two_people", False)
    world.takes_two |= set(record.get("takes_two", ()))
    for email in record["admins"]:
        world.people[email] = Person(world.lab, Role.ADMIN, given_by_two=True)
        world.role_grants[f"of {email}"] = RoleGrant(email, Role.ADMIN, None, None, "standing")


def _organization_add(world: World, record: Record) -> Iterator[str]:
    if record["organization"] in world.organizations:
        yield "it adds an organization that already exists"
        return
    name = record["name"].strip() if "name" in record else None  # older entries have it as it was typed
    world.organizations[record["organization"]] = Organization(record.get("organization_id"), name)


def _organization_change(world: World, record: Record) -> Iterator[str]:
    about = world.organizations.get(record["organization"])
    if about is None:
        yield "it is about an organization that was never added"
        return
    match record["kind"]:
        case EntryKind.ORGANIZATION_QUOTA:
            yield from proposals.quota_faults(world, record, about)
            about.bytes_per_day = record["bytes_per_day"]
            about.requests_per_minute = record["requests_per_minute"]
        case EntryKind.ORGANIZATION_NETWORKS:
            about.networks = record["networks"]
        case EntryKind.ORGANIZATION_RENAME:
            about.name = record["name"]


def _invite(world: World, record: Record) -> Iterator[str]:
    by = record["actor"].get("person")
    if not world.manages(by, record["organization"]):
        yield "the inviter cannot manage the people of that organization"
    if not world.fits(record["organization"], record["role"]):
        yield f"it invites to {record['organization']} as {record['role']}, which is not a role there"
    world.invitations[record["invitation"]] = Invitation(record["organization"], record["person"], record["role"], by)


def _withdraw_invitation(world: World, record: Record) -> Iterator[str]:
    known = world.invitations.get(record["invitation"])
    if known is None or not known.is_open:
        yield "it withdraws an invitation that was not open"
        return
    if not world.manages(record["actor"].get("person"), known.organization):
        yield "it withdraws an invitation to an organization whose people they cannot manage"
    known.is_open = False


def _accept(world: World, record: Record) -> Iterator[str]:
    known, email = world.invitations.get(record["invitation"]), record["person"]
    home = record.get("organization") or record["actor"].get("organization")
    if known is None or not known.is_open:
        yield "it accepts an invitation that was not open"
    elif (known.organization, known.email, known.role) != (home, email, record.get("proposed_role", record["role"])):
        yield "it accepts a different invitation than was sent"
    if known is not None:
        if not world.manages(known.invited_by, known.organization) or world.people[known.invited_by or ""].disabled:
            yield "the person who sent the invitation was no longer allowed to"
        known.is_open = False
    if email in world.people:
        yield f"{email} already had an account"
    if record["actor"].get("person") != email:
        yield "nobody can accept an invitation for someone else"
    yield from roles.joined(world, record, email, None if known is None else known.invited_by)
    world.people[email] = Person(home, record["role"], record.get("person_id"))


def _person_add(world: World, record: Record) -> Iterator[str]:
    email, home = record["person"], record["organization"]
    if not world.manages(by := record["actor"].get("person"), home):
        yield "it adds a person to an organization whose people they cannot manage"
    if not world.fits(home, record["role"]):
        yield f"it makes {email} {record['role']} of {home}, which is not a role there"
    if email in world.people:
        yield f"{email} already had an account"
    yield from roles.joined(world, record, email, by)
    world.people[email] = Person(home, record["role"], record.get("person_id"), known_by={str(by)})
    if record.get("handed"):
        world.people[email].handed = {"password", "app"}


def _person_change(world: World, record: Record) -> Iterator[str]:
    """Of somebody else: their role, whether they can act, their password."""
    email, kind, by = record["person"], record["kind"], record["actor"].get("person")
    about = world.people.get(email)
    if about is None:
        if "person" not in world.forgotten:
            yield f"{email} is not known to the log"
        return
    if not world.manages(by, about.organization):
        yield f"{by}, who did it, cannot manage the people of {about.organization}"
    told = record["before"] if kind == EntryKind.PERSON_CHANGE_ROLE else record["role"]
    if told != about.role:
        yield f"it says that {email} was {told}, but they were {about.role}"
    if kind != EntryKind.PERSON_RESET_PASSWORD and by == email:
        yield "nobody can disable or enable themselves or change their own role"
    if kind == EntryKind.PERSON_CHANGE_ROLE:
        if not world.fits(about.organization, record["role"]):
            yield f"it makes {email} {record['role']} of {about.organization}, which is not a role there"
        if world.two_people and about.organization == world.lab:
            yield f"it makes {email} {record['role']} by one person alone"
        about.role, about.given_by_two = record["role"], False
        world.end_grants(email)
    elif kind == EntryKind.PERSON_RESET_PASSWORD:
        about.known_by.add(str(by))
    elif kind == EntryKind.PERSON_DISABLE:
        _disable(world, record, about)
    elif kind == EntryKind.PERSON_ENABLE:
        if about.disabled_by_lab and not _is_of_the_lab(world, by):
            yield f"the lab disabled {email}, so only the lab can enable them"
        about.disabled = about.disabled_by_lab = False


def _disable(world: World, record: Record, about: Person) -> None:
    about.disabled, about.disabled_by_lab = True, _is_of_the_lab(world, record["actor"].get("person"))
    for token in world.tokens.values():
        if token.person == record["person"] and token.is_revoked_with(record["time"]):
            token.revoked = True


def _is_of_the_lab(world: World, email: str | None) -> bool:
    person = world.people.get(email or "")
    return person is not None and person.organization == world.lab


def _oneself(world: World, record: Record) -> Iterator[str]:
    """What people change of how they sign in: only their own."""
    email = record["person"]
    if record["actor"].get("person") != email:
        yield "nobody can change how someone else signs in"
    about = world.people.get(email)
    if about is None:
        return
    if record["role"] != about.role:
        yield f"it says that {email} was {record['role']}, but they were {about.role}"
    if record["kind"] in {EntryKind.PERSON_PASSWORD_CHANGE, EntryKind.PASSWORD_RESET}:
        about.handed.discard("password")
    elif record["kind"] == EntryKind.PERSON_FACTOR_REPLACE:
        about.handed.discard("app")


def _identity_link(world: World, record: Record) -> Iterator[str]:
    yield from _oneself(world, record)
    made = Identity(record["person"], record["issuer"], record["subject"])
    for known in world.linked_identities.values():
        if (known.issuer, known.subject) == (made.issuer, made.subject):
            yield f"the identity was already linked to {known.person}"
        elif (known.person, known.issuer) == (made.person, made.issuer):
            yield f"{made.person} already had an identity at {made.issuer}"
    about = world.people.get(made.person)
    if about is not None and about.handed and not world.forgotten & {"person", "password"}:
        yield f"{made.person} still signed in with what another person had set up"
    if record["identity"] in world.linked_identities:
        yield "it refers to an identity by a number that is taken"
    world.linked_identities[record["identity"]] = made


def _identity_unlink(world: World, record: Record) -> Iterator[str]:
    yield from _oneself(world, record)
    told = Identity(record["person"], record["issuer"], record["subject"])
    if world.linked_identities.pop(record["identity"], None) != told and "person" not in world.forgotten:
        yield "it removes an identity that was not linked"


def _token_create(world: World, record: Record) -> Iterator[str]:
    actor, name = record["actor"], record["token"]
    if name in world.tokens:
        yield f"token {name} was already created"
    if actor.get("via") == "token":
        yield "tokens cannot create tokens"
    networks = record.get("networks")
    world.tokens[name] = Token(
        actor["organization"], actor["person"], frozenset(record["scopes"]), record["expires_at"],
        record.get("secret_sha256"), None if networks is None else tuple(networks),
    )  # fmt: skip


def _token_change(world: World, record: Record) -> Iterator[str]:
    name, by = record["token"], record["actor"].get("person")
    token = world.tokens.get(name)
    if token is None:
        if "token" not in world.forgotten:
            yield f"token {name} was never created"
        return
    person, kind = world.people.get(by or ""), record["kind"]
    if kind != EntryKind.TOKEN_REVOKE_LEAKED and person is not None and not _may_change(person, by, token):
        yield f"they cannot change token {name}"
    if token.revoked:
        yield f"token {name} had been revoked"
    if kind == EntryKind.TOKEN_ROTATE:
        if by != token.person:
            yield f"only its creator can rotate token {name}"
        world.tokens[record["successor"]] = replace(
            token, expires_at=record.get("successor_expires_at"), sha256=record.get("successor_sha256")
        )
        token.expires_at = record["expires_at"]
    elif kind == EntryKind.TOKEN_TAKE_OVER:
        if record["actor"].get("organization") != token.organization:
            yield f"token {name} can only be taken over within its organization"
        token.person = str(by)
    else:
        token.revoked = True


def _may_change(person: Person, email: str | None, token: Token) -> bool:
    at_home = person.role == Role.OWNER and person.organization == token.organization
    return person.role == Role.ADMIN or email == token.person or at_home


RULES: dict[EntryKind, Rule | JudgedByNothing] = {
    EntryKind.INSTANCE_BEGIN: _begin,
    EntryKind.ORGANIZATION_ADD: _organization_add,
    EntryKind.ORGANIZATION_QUOTA: _organization_change,
    EntryKind.ORGANIZATION_NETWORKS: _organization_change,
    EntryKind.ORGANIZATION_RENAME: _organization_change,
    EntryKind.INVITATION_INVITE: _invite,
    EntryKind.INVITATION_WITHDRAW: _withdraw_invitation,
    EntryKind.PERSON_ACCEPT_INVITATION: _accept,
    EntryKind.PERSON_ADD: _person_add,
    EntryKind.PERSON_CHANGE_ROLE: _person_change,
    EntryKind.PERSON_DISABLE: _person_change,
    EntryKind.PERSON_ENABLE: _person_change,
    EntryKind.PERSON_RESET_PASSWORD: _person_change,
    EntryKind.PERSON_FACTOR_ADD: _oneself,
    EntryKind.PERSON_FACTOR_NAME: _oneself,
    EntryKind.PERSON_FACTOR_REMOVE: _oneself,
    EntryKind.PERSON_FACTOR_REPLACE: _oneself,
    EntryKind.PERSON_IDENTITY_LINK: _identity_link,
    EntryKind.PERSON_IDENTITY_UNLINK: _identity_unlink,
    EntryKind.PERSON_PASSWORD_CHANGE: _oneself,
    EntryKind.PASSWORD_RESET: _oneself,
    EntryKind.TOKEN_CREATE: _token_create,
    EntryKind.TOKEN_REVOKE: _token_change,
    EntryKind.TOKEN_REVOKE_LEAKED: _token_change,
    EntryKind.TOKEN_ROTATE: _token_change,
    EntryKind.TOKEN_TAKE_OVER: _token_change,
}
