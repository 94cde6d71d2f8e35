"""Who acted: each entry here is well formed, committed and sealed, and still `log verify` names it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from server.domain.access import clearances, signatures
from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.entry_kinds import EntryKind
from server.domain.identity import people, tokens
from server.domain.permissions import Role, Scope
from server.domain.release import holds
from server.log.entries import commitment_of
from tests import tampering
from tests.filled_forms import sign
from tests.world import World, cases

AURORA, OWNER = "aurora-institute", "owner@aurora-institute.example"


def found(world: World, *, tables: bool = False) -> list[tuple[str, str]]:
    """Every fault, by row and sentence, once all is sealed."""
    world.seal()
    told = verifying.verify(world.use, tables=tables)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def by(caller: Caller, via: str = "session") -> dict[str, Any]:
    """An actor as a record names them."""
    token = {"token": caller.token_public_id} if via == "token" else {}
    return {"actor": {"via": via, "organization": caller.organization, "person": caller.person} | token}


def download(world: World) -> dict[str, Any]:
    """The record of a download with the cleared partner's token."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    return world.records("download")[-1]


@dataclass
class Planted:
    """What was planted: the kind, its record, and the organization that it concerns."""

    kind: EntryKind
    record: dict[str, Any]
    organization: str | None = None
    more: tuple[str, ...] = ()  # said besides


def of_a_disabled_person(world: World) -> Planted:
    record = download(world) | by(world.person("cleared"))
    world.add_person(AURORA, f"second@{AURORA}.example", Role.OWNER)  # the last owner stays
    people.disable(world.use, world.admin, OWNER)
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_a_revoked_token(world: World) -> Planted:
    record = download(world)
    tokens.revoke(world.use, world.person("cleared"), record["actor"]["token"])
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_an_expired_token(world: World) -> Planted:
    made = tokens.create(
        world.use, world.person("cleared"), "short", [Scope.DOWNLOADS_CREATE], timedelta(milliseconds=1)
    )
    record = download(world)
    record["actor"]["token"] = made.token.public_id
    world.clock.offset += timedelta(seconds=1)
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_a_token_for_something_else(world: World) -> Planted:
    made = tokens.create(world.use, world.person("cleared"), "reads", [Scope.LOG_READ], timedelta(days=1))
    record = download(world)
    record["actor"]["token"] = made.token.public_id
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_a_token_from_another_network(world: World) -> Planted:
    owner = world.person("cleared")
    made = tokens.create(world.use, owner, "near", [Scope.DOWNLOADS_CREATE], timedelta(days=1), ["192.0.2.0/24"])
    record = download(world)
    record["actor"] |= {"token": made.token.public_id, "address": "198.51.100.1"}
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_another_s_token(world: World) -> Planted:
    record = download(world)
    record["actor"]["token"] = world.caller("unsigned").token_public_id
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def with_an_unknown_token(world: World) -> Planted:
    record = download(world)
    record["actor"]["token"] = "0" * 12
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def of_another_organization(world: World) -> Planted:
    record = download(world) | by(world.person("unsigned"))
    record["actor"]["organization"] = AURORA
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def of_a_suspended_organization(world: World) -> Planted:
    record = download(world)
    holds.place(world.use, world.admin, f"organization:{AURORA}", "It asked for it.")
    return Planted(EntryKind.DOWNLOAD, record, AURORA)


def _proposed(world: World, record: dict[str, Any]) -> dict[str, Any]:
    """A clearance for the partner without one, told by an entry alone."""
    at = int(world.clock().timestamp() * 1000)
    terms = {"organization": "cedar-systems", "model": "gpt-2", "tier": "partner", "starts_at": at}
    return {"clearance": 99, "expires_at": at + 10**9, "purpose": "None.", **terms, **record}


def proposed_and_approved_by_two_outsiders(world: World) -> Planted:
    first, second = world.person("uncleared"), world.person("unsigned")
    world.plant(EntryKind.CLEARANCE_PROPOSE, _proposed(world, by(first)), "cedar-systems")
    proposal = world.records("clearance.propose")[-1]
    return Planted(EntryKind.CLEARANCE_APPROVE, proposal | by(second), "cedar-systems")


def revoked_by_whom_sql_made_an_admin(world: World) -> None:
    made = clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "partner", expires_at=world.clock() + timedelta(days=9),
        purpose="A study.",
    )  # fmt: skip
    publisher = world.person("publisher")
    tampering.run(world.settings.database_url, "UPDATE people SET role = 'admin' WHERE email = :email",
                  email=publisher.person)  # fmt: skip
    clearances.revoke(world.use, world.person("publisher"), made.id)  # by the real command, which reads the table
    world.tampered = True


def a_partner_s_own_countersignature(world: World) -> Planted:
    sign(world)
    record = world.records("signature.sign")[-1]
    return Planted(EntryKind.SIGNATURE_COUNTERSIGN, record, record["organization"],
                   ("an organization countersigned its own signature",))  # fmt: skip


def an_outsider_s_move(world: World) -> Planted:
    moved = {"stage": "gpt-2/774M", "before": "partners", "to": "public", "rationale": "Why not."}
    return Planted(EntryKind.STAGE_MOVE, moved | by(world.person("cleared")),
                   more=("it moves a stage without a decision of two people",))  # fmt: skip


def a_stranger_s_hold(world: World) -> Planted:
    nobody = {"actor": {"via": "session", "organization": "example-lab", "person": "nobody@example-lab.example"}}
    return Planted(EntryKind.HOLD_PLACE, {"on": "gpt-2", "reason": "Why not."} | nobody)


def an_act_of_a_disabled_admin(world: World) -> Planted:
    world.add_person("example-lab", "third@example-lab.example", Role.ADMIN)
    third = world.person_of("third@example-lab.example")
    people.disable(world.use, world.admin, str(third.person))
    return Planted(EntryKind.HOLD_PLACE, {"on": "gpt-2", "reason": "Why not."} | by(third))


def a_member_s_invitation(world: World) -> Planted:
    world.add_person(AURORA, "member@aurora-institute.example", Role.MEMBER)
    invited = {"invitation": 99, "person": "new@example.org", "role": "owner", "organization": AURORA}
    return Planted(EntryKind.INVITATION_INVITE, invited | by(world.person_of("member@aurora-institute.example")),
                   AURORA, ("the inviter cannot manage the people of that organization",))  # fmt: skip


def a_person_whom_nobody_invited(world: World) -> Planted:
    joined = {"invitation": 99, "person": "new@example.org", "person_id": 99, "role": "owner", "organization": AURORA}
    actor = {"actor": {"via": "session", "organization": AURORA, "person": "new@example.org"}}
    return Planted(EntryKind.PERSON_ACCEPT_INVITATION, joined | actor, AURORA)


NAMED: dict[Callable[[World], Planted], str] = {
    of_a_disabled_person: f"{OWNER}, who did it, was disabled",
    with_a_revoked_token: "token {token}, with which it was done, had been revoked",
    with_an_expired_token: "token {token}, with which it was done, had expired",
    with_a_token_for_something_else: "token {token}, with which it was done, does not have the required scope",
    with_a_token_from_another_network: "token {token}, with which it was done, is not allowed from that network",
    with_another_s_token: "token {token}, with which it was done, belongs to someone else",
    with_an_unknown_token: "it was done with a token that the log does not know",
    of_another_organization: "owner@birch-university.example, who did it, did not belong to aurora-institute",
    of_a_suspended_organization: f"{AURORA}, whose {OWNER} did it, was suspended",
    proposed_and_approved_by_two_outsiders: "owner@birch-university.example, who did it, had the role owner, which "
    "does not allow this",
    a_partner_s_own_countersignature: "owner@birch-university.example, who did it, had the role owner, which does "
    "not allow this",
    an_outsider_s_move: f"{OWNER}, who did it, had the role owner, which does not allow this",
    a_stranger_s_hold: "nobody@example-lab.example, who did it, is not known to the log",
    an_act_of_a_disabled_admin: "third@example-lab.example, who did it, was disabled",
    a_member_s_invitation: "member@aurora-institute.example, who did it, had the role member, which does not allow "
    "this",
    a_person_whom_nobody_invited: "it accepts an invitation that was not open",
}


@cases("planting", NAMED)
def test_an_act_that_its_actor_could_not_do_is_named(world: World, planting: Callable[[World], Planted]) -> None:
    """Valid bytes, sealed by the right key, under the right columns: only who did it is wrong, and that is said."""
    there = planting(world)
    before = found(world)
    number = world.plant(there.kind, there.record, there.organization)
    token = there.record.get("actor", {}).get("token")
    expected = [NAMED[planting].format(token=token), *there.more]
    named = [fault for fault in found(world) if fault not in before]
    assert named == [(world.name_of(number), one) for one in expected]


def test_an_act_of_whom_sql_made_an_admin_is_named(world: World) -> None:
    """The command believes the table; the audit does not, and the table's row is named as well."""
    revoked_by_whom_sql_made_an_admin(world)
    number = world.entries("clearance.revoke")[-1].id
    publisher = world.example.people["publisher"]["email"]
    assert found(world, tables=True) == [
        (world.name_of(number), f"{publisher}, who did it, had the role publisher, which does not allow this"),
        (f"people {publisher}", "its role differs from the log"),
    ]


def test_both_outsiders_are_named(world: World) -> None:
    """A clearance between two people who are not of the lab: the proposal is as wrong as the approval."""
    there = proposed_and_approved_by_two_outsiders(world)
    number = world.plant(there.kind, there.record, there.organization)
    assert [row for row, _ in found(world)] == [world.name_of(number - 1), world.name_of(number)]


def test_a_kind_that_there_is_not_is_named(world: World) -> None:
    """What no rule is about is not passed over in silence."""
    world.seal()
    number = world.plant(EntryKind.HEARTBEAT, {})
    record = world.entries("heartbeat")[-1].record.replace(b'"heartbeat"', b'"something"')
    salt = world.entries("heartbeat")[-1].salt
    tampering.run(
        world.settings.database_url,
        "UPDATE log_entries SET kind = 'something', record = :record, commitment = :commitment WHERE id = :number",
        record=record, commitment=commitment_of(salt, record), number=number,
    )  # fmt: skip
    assert found(world) == [(world.name_of(number), "its kind something is unknown")]


def test_what_real_people_do_is_no_fault(world: World) -> None:
    """A signature that the lab countersigned, a token rotated and taken over, a role changed: all of it is allowed."""
    number = sign(world)
    signatures.countersign(world.use, world.admin2, number)
    world.add_person(AURORA, "second@aurora-institute.example", Role.OWNER)
    second = world.person_of("second@aurora-institute.example")
    made = tokens.create(world.use, second, "cluster", [Scope.DOWNLOADS_CREATE], timedelta(days=9))
    after = tokens.rotate(world.use, second, made.token.public_id)
    tokens.take_over(world.use, world.person("cleared"), after.token.public_id)
    people.change_role(world.use, world.person("cleared"), str(second.person), Role.MEMBER)
    people.disable(world.use, world.admin, str(second.person))
    assert found(world, tables=True) == []
