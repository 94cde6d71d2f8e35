"""Two people: an admin whom one person alone made is named, however it was done, and so is what they then approved."""

from typing import Any

from server.domain.accounts import granting
from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.identity import people
from server.domain.operation import bootstrap
from server.domain.permissions import Role
from tests import tampering
from tests.own_account import choose_password, set_up_app
from tests.world import World, cases

LAB, CLEO, DAN = "example-lab", "cleo@example-lab.example", "dan@example-lab.example"
PERSON = (
    "INSERT INTO people (id, organization_id, email, name, role, password_hash, totp_secret_sealed, created_at, "
    "disabled_by_lab) VALUES (99, 1, :email, 'Cleo', 'admin', 'none', :sealed, '2026-01-01 00:00:00', false)"
)


def found(world: World, *, tables: bool = False) -> list[tuple[str, str]]:
    world.seal()
    told = verifying.verify(world.use, tables=tables)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def by(caller: Caller) -> dict[str, Any]:
    return {"actor": {"via": "session", "organization": caller.organization, "person": caller.person}}


def grant(world: World, approver: Caller, **more: Any) -> dict[str, Any]:
    """The record of a role given to Cleo, whom the first admin proposed."""
    number = proposed(world)
    return {
        "person": CLEO, "person_id": world.person_of(CLEO).person_id, "role": "admin", "organization": LAB,
        "before": "pending", "proposed_by": world.admin.person, "grant": number, **by(approver), **more,
    }  # fmt: skip


def proposed(world: World) -> int:
    granting.add(world.use, world.admin, LAB, CLEO, "Cleo", Role.ADMIN, "a long enough password")
    return int(world.records("person.add")[-1]["grant"])


def test_an_admin_by_two_is_no_fault(world: World) -> None:
    """Proposed, rejected, withdrawn, given, given again after a reset: every row is as the log tells."""
    proposed(world)
    granting.reject(world.use, world.admin, CLEO)
    granting.propose(world.use, world.admin2, CLEO, Role.AUDITOR)
    granting.reject(world.use, world.admin, CLEO)
    granting.propose(world.use, world.admin, CLEO, Role.ADMIN)
    granting.approve(world.use, world.admin2, CLEO)
    people.reset_password(world.use, world.admin, CLEO)
    granting.propose(world.use, world.admin, CLEO, Role.ADMIN)
    granting.approve(world.use, world.admin2, CLEO)
    granting.propose(world.use, world.admin, str(world.admin2.person), Role.AUDITOR)
    granting.approve(world.use, world.person_of(CLEO), str(world.admin2.person))
    assert found(world, tables=True) == []


def test_a_person_row_and_its_entry_by_one_are_named(world: World) -> None:
    """Whoever writes both past the rules has made an admin by one person."""
    world.tampered = True
    tampering.run(world.settings.database_url, PERSON, email=CLEO, sealed=b"none")
    record = {"person": CLEO, "person_id": 99, "role": "admin", "organization": LAB, **by(world.admin)}
    number = world.plant(EntryKind.PERSON_ADD, record, LAB)
    assert found(world, tables=True) == [(world.name_of(number), f"it makes {CLEO} admin by one person alone")]


def test_a_role_that_one_person_changes_is_named(world: World) -> None:
    """As an older version did: by a single entry."""
    publisher = str(world.person("publisher").person)
    told = {"person": publisher, "person_id": 3, "role": "admin", "before": "publisher", "organization": LAB}
    number = world.plant(EntryKind.PERSON_CHANGE_ROLE, told | by(world.admin), LAB)
    assert found(world) == [(world.name_of(number), f"it makes {publisher} admin by one person alone")]


def test_a_role_that_sql_set_is_named(world: World) -> None:
    """The row of the person differs from the log, and their grant is of another role."""
    world.tampered = True
    publisher = str(world.person("publisher").person)
    tampering.run(world.settings.database_url, "UPDATE people SET role = 'admin' WHERE email = :email", email=publisher)
    assert found(world, tables=True) == [(f"people {publisher}", "its role differs from the log")]


ANOTHER_ROOT = (
    "INSERT INTO role_grants (id, person_id, role, is_root, proposed_at, approved_at) "
    "VALUES (99, 5, 'admin', true, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
)


@cases(
    ("statement", "row", "sentence"),
    [
        ("UPDATE role_grants SET approved_by = proposed_by WHERE id = {grant}", "role grants {grant}",
         "its approver differs from the log"),
        ("UPDATE role_grants SET role = 'auditor' WHERE id = {grant}", "role grants {grant}",
         "its role differs from the log"),
        ("DELETE FROM role_grants WHERE id = {grant}", "role grants {grant}",
         "it is in the log, but there is no such row"),
        (ANOTHER_ROOT, "role grants of {owner}", "the row exists, but is not in the log"),
    ],
)  # fmt: skip
def test_a_grant_that_sql_changed_is_named(world: World, statement: str, row: str, sentence: str) -> None:
    """Also one that makes somebody one of the first two admins."""
    world.add_person(LAB, CLEO, Role.ADMIN)
    known = {"grant": world.records("role.grant")[-1]["grant"], "owner": world.person("cleared").person}
    world.tampered = True
    tampering.run(world.settings.database_url, statement.format(**known))
    assert found(world, tables=True) == [(row.format(**known), sentence)]


def test_a_grant_whose_approver_is_its_proposer_is_named(world: World) -> None:
    """And what that admin then approves is named as well."""
    number = world.plant(EntryKind.ROLE_GRANT, grant(world, world.admin), LAB)
    assert found(world) == [(world.name_of(number), "it was proposed and approved by the same person")]


def test_a_grant_by_whom_the_proposer_alone_made_is_named(world: World) -> None:
    """An approver whose own role one person gave is none."""
    added = {"person": DAN, "person_id": 98, "role": "admin", "organization": LAB, **by(world.admin)}
    first = world.plant(EntryKind.PERSON_ADD, added, LAB)
    dan = {"actor": {"via": "session", "organization": LAB, "person": DAN}}
    second = world.plant(EntryKind.ROLE_GRANT, grant(world, world.admin) | dan, LAB)
    assert found(world) == [
        (world.name_of(first), f"it makes {DAN} admin by one person alone"),
        (world.name_of(second), f"{DAN}, who approved it, had a role that one person alone had given"),
    ]


@cases("resetting", ["admin", "admin2"])
def test_a_grant_between_two_of_whom_one_could_be_the_other_is_named(world: World, resetting: str) -> None:
    """Whichever of them reset the other's password: the proposer could approve, the approver could have proposed."""
    did = {world.admin.person: "proposed", world.admin2.person: "approved"}
    one = getattr(world, resetting)
    (other,) = {world.admin.person, world.admin2.person} - {one.person}
    people.reset_password(world.use, one, str(other))
    number = world.plant(EntryKind.ROLE_GRANT, grant(world, world.admin2), LAB)
    who = f"{one.person}, who {did[one.person]} it, could act in the name of {other}, who {did[other]} it"
    assert found(world) == [(world.name_of(number), who)]


def test_a_grant_that_nobody_proposed_is_named(world: World) -> None:
    """Nor may it give another role than was proposed."""
    first = world.plant(EntryKind.ROLE_GRANT, grant(world, world.admin2) | {"grant": 77}, LAB)
    known = world.records("person.add")[-1]["grant"]
    record = world.records("role.grant")[-1] | {"grant": known, "role": "auditor"}
    record.pop("kind"), record.pop("time")
    second = world.plant(EntryKind.ROLE_GRANT, record, LAB)
    assert found(world) == [
        (world.name_of(first), "it gives a role that was not proposed"),
        (world.name_of(second), "it gives a different role than was proposed"),
    ]


def test_the_rule_is_adopted_once(world: World) -> None:
    """An instance that began with it needs no entry; a second one, and one that names other first admins, are named."""
    assert not bootstrap.adopt_rules(world.use)
    record = {"actor": {"via": "cli"}, "organization": LAB, "first_admins": [world.person("auditor").person, CLEO]}
    number = world.plant(EntryKind.RULES_ADOPT, record, LAB)
    told = [sentence for row, sentence in found(world) if row == world.name_of(number)]
    assert told == ["the rule of two people was already adopted", f"it calls {CLEO} one of the first two admins"]


def test_an_approval_by_somebody_whose_account_another_set_up_is_named(world: World) -> None:
    """Until both password and app were replaced, whoever made the account could have been the second person."""
    publisher = str(world.person("publisher").person)
    password, _ = granting.add(world.use, world.admin, LAB, CLEO, "Cleo", Role.ADMIN)
    granting.approve(world.use, world.admin2, CLEO)
    cleo = world.person_of(CLEO)
    granting.propose(world.use, world.admin2, publisher, Role.AUDITOR)
    record = {
        "person": publisher, "person_id": world.person("publisher").person_id, "role": "auditor", "organization": LAB,
        "before": "publisher", "proposed_by": world.admin2.person, "grant": world.records("role.propose")[-1]["grant"],
        **by(cleo),
    }  # fmt: skip
    number = world.plant(EntryKind.ROLE_GRANT, record, LAB)
    sentence = f"{CLEO}, who approved it, still signed in with what another person had set up"
    named = found(world)
    assert (world.name_of(number), sentence) in named
    choose_password(world.use, CLEO, password)
    set_up_app(world.use, CLEO)
    granting.reject(world.use, world.admin2, publisher)
    granting.propose(world.use, world.admin2, str(world.person("auditor").person), Role.PUBLISHER)
    granting.approve(world.use, cleo, str(world.person("auditor").person))
    assert [said for _, said in found(world) if "another person had set up" in said] == [sentence]
