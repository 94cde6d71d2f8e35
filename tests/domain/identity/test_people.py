"""People: passwords, roles, who manages whom, and what the database must not give away."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import argon2
import pyotp
import pytest
from sqlalchemy import select, update

from server.domain.accounts import sign_in
from server.domain.callers import Caller
from server.domain.errors import (
    InvalidCredentials,
    InvalidRequest,
    NotFound,
    NotPermitted,
    NotPossible,
    OrganizationSuspended,
    PersonDisabled,
    Refused,
    TooManyAttempts,
)
from server.domain.identity import people
from server.domain.identity.people import Person
from server.domain.paging import Slice
from server.domain.permissions import STAFF, Role
from server.domain.release import holds
from server.storage import keys
from tests.made_once import PASSWORDS_AT_FULL_COST
from tests.world import STRANGER, World

AURORA = "aurora-institute"
PASSWORD = "a long enough password"


def add(world: World, name: str, role: Role, organization: str = AURORA) -> str:
    """Somebody with a role and no password: hashing takes longer than the rest of most of these tests."""
    email = f"{name}@{organization}.example"
    world.add_person(organization, email, role)
    world.example.people[name] = {"email": email}
    return email


def person(world: World, email: str) -> Person:
    with world.use.database.reading() as session:
        return session.scalars(select(Person).where(Person.email == email)).one()


@pytest.mark.parametrize(("length", "accepted"), [(0, False), (14, False), (15, True), (256, True), (257, False)])
def test_a_password_has_15_to_256_characters_of_any_kind(length: int, accepted: bool) -> None:
    """Length is the only rule; there is none about kinds of characters."""
    if accepted:
        assert people.hash_password("é" * length).startswith("$argon2id$")
    else:
        with pytest.raises(InvalidRequest):
            people.hash_password("é" * length)


def test_passwords_cost_what_the_rfc_asks_for() -> None:
    """RFC 9106, section 4, second choice: argon2id, three passes over 64 MiB in four lanes. Tests take less."""
    full = PASSWORDS_AT_FULL_COST
    assert (full.type, full.time_cost, full.memory_cost, full.parallelism) == (argon2.Type.ID, 3, 64 * 1024, 4)
    assert people._hasher is not full


def test_a_crowd_that_signs_in_does_not_hold_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hash, two wait, and whoever else comes is told to come back at once; then there is room again."""
    gate, hashed = threading.Event(), argon2.PasswordHasher.hash

    def slow(self: argon2.PasswordHasher, password: str) -> str:
        gate.wait(10)
        return hashed(self, password)

    monkeypatch.setattr(argon2.PasswordHasher, "hash", slow)
    with ThreadPoolExecutor(8) as pool:
        crowd = [pool.submit(people.hash_password, PASSWORD) for _ in range(8)]
        with suppress(TimeoutError):
            for refused in islice(as_completed(crowd, timeout=5), 4):
                assert isinstance(refused.exception(), TooManyAttempts)
        gate.set()
    assert sum(task.exception() is None for task in crowd) == 4
    assert people.hash_password(PASSWORD).startswith("$argon2id$")


def test_a_generated_password_obeys_the_rule_and_is_never_the_same() -> None:
    """What we hand out would be accepted from anybody."""
    made = {people.new_password() for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= people.PASSWORD_CHARACTERS_AT_LEAST


@pytest.mark.parametrize("spelling", ["{}", "  {} ", "upper"])
def test_the_right_password_proves_a_person(sqlite_world: World, spelling: str) -> None:
    """The e-mail address counts whatever its case and the space around it."""
    known = sqlite_world.example.people["cleared"]
    email = known["email"].upper() if spelling == "upper" else spelling.format(known["email"])
    caller = people.sign_in_for_command(sqlite_world.use, email, known["password"])
    assert (caller.via, caller.person, caller.organization, caller.role) == ("cli", known["email"], AURORA, Role.OWNER)


def test_unknown_person_and_wrong_password_get_one_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and code are equal, and a hash is verified either way, so that the time is too."""
    known = world.example.people["cleared"]
    verified: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, kept: str, password: str) -> bool:
        verified.append(kept)
        return verify(self, kept, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    answers = []
    attempts = [("nobody@nowhere.example", known["password"]), (known["email"], "another wrong password"),
                (known["email"], known["password"] + " "), (known["email"], ""), ("", "")]  # fmt: skip
    for email, password in attempts:
        with pytest.raises(InvalidCredentials) as answer:
            people.sign_in_for_command(world.use, email, password)
        answers.append(vars(answer.value))
    assert all(answer == answers[0] for answer in answers)
    assert len(verified) == len(attempts)
    parameters = [argon2.extract_parameters(kept) for kept in verified]
    assert all(cost == parameters[0] for cost in parameters)


def weaken(world: World, email: str, password: str) -> str:
    """Keep somebody's password as another version of this server might have: under lower parameters."""
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(password)
    with world.use.database.transaction() as session:
        session.execute(update(Person).where(Person.email == email).values(password_hash=weak))
    return weak


def test_a_right_password_is_kept_under_the_present_parameters(world: World) -> None:
    """A wrong one changes nothing; the sign-in that renews it goes on to its second factor, and so does the next."""
    known = world.example.people["cleared"]
    email, password = known["email"], known["password"]
    weak = weaken(world, email, password)
    with pytest.raises(InvalidCredentials):
        people.prove(world.use, email, "a wrong password, long")
    assert person(world, email).password_hash == weak
    ceremony = sign_in.begin(world.use, email, password)
    renewed = person(world, email).password_hash
    assert argon2.extract_parameters(renewed) == argon2.extract_parameters(people.hash_password(PASSWORD))
    code = pyotp.TOTP(known["totp_secret"]).at(world.clock())
    assert sign_in.by_totp(world.use, STRANGER, ceremony, code).role == Role.OWNER
    assert people.sign_in_for_command(world.use, email, password).person == email
    assert person(world, email).password_hash == renewed


def test_a_password_that_is_replaced_while_it_is_renewed_stays_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one counts, and the sign-in with the old one does not end well."""
    known = world.example.people["cleared"]
    weaken(world, known["email"], known["password"])
    hashed = argon2.PasswordHasher.hash

    def meanwhile(self: argon2.PasswordHasher, password: str) -> str:
        monkeypatch.setattr(argon2.PasswordHasher, "hash", hashed)
        people.reset_password(world.use, world.admin, known["email"], PASSWORD)
        return hashed(self, password)

    monkeypatch.setattr(argon2.PasswordHasher, "hash", meanwhile)
    # One hash at a time would wait for itself here; the replacing one comes from another request.
    monkeypatch.setattr(people, "_hashing", threading.BoundedSemaphore(3))
    ceremony = sign_in.begin(world.use, known["email"], known["password"])
    people.prove(world.use, known["email"], PASSWORD)
    with pytest.raises(NotPossible, match="password was changed"):
        sign_in.by_totp(world.use, STRANGER, ceremony, pyotp.TOTP(known["totp_secret"]).at(world.clock()))


def test_a_password_is_renewed_later_when_too_many_hash(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was right is let in, whatever else the server is busy with."""
    known = world.example.people["cleared"]
    weak = weaken(world, known["email"], known["password"])
    crowd = threading.BoundedSemaphore(1)

    def crowded(*_: Any) -> bool:
        monkeypatch.setattr(people, "_asking", crowd)
        return crowd.acquire()

    monkeypatch.setattr(argon2.PasswordHasher, "check_needs_rehash", crowded)
    assert people.prove(world.use, known["email"], known["password"]).email == known["email"]
    assert person(world, known["email"]).password_hash == weak


def test_a_longer_password_that_begins_like_the_right_one_is_wrong(sqlite_world: World) -> None:
    """What is cut off before hashing is not forgotten."""
    world = sqlite_world
    people.reset_password(world.use, world.admin, world.example.people["cleared"]["email"], "x" * 256)
    with pytest.raises(InvalidCredentials):
        people.sign_in_for_command(world.use, world.example.people["cleared"]["email"], "x" * 257)


def test_who_is_disabled_or_suspended_is_told_so_only_with_the_right_password(world: World) -> None:
    """Standing is not shown to whoever guesses addresses."""
    known = world.example.people["unsigned"]
    add(world, "second", Role.OWNER, "birch-university")
    holds.place(world.use, world.admin, "organization:birch-university", "For a test.")
    steps: list[tuple[type[Refused], str]] = [
        (OrganizationSuspended, known["password"]), (InvalidCredentials, "a wrong password, long"),
    ]  # fmt: skip
    for code, password in steps:
        with pytest.raises(code):
            people.sign_in_for_command(world.use, known["email"], password)
    people.disable(world.use, world.admin, known["email"])
    for code, password in [(PersonDisabled, known["password"]), steps[1]]:
        with pytest.raises(code):
            people.sign_in_for_command(world.use, known["email"], password)


def test_passwords_and_totp_secrets_are_not_in_the_database(world: World) -> None:
    """A stolen copy shows neither: the one is hashed, the other sealed with a key that lies elsewhere."""
    email = "new@birch-university.example"
    password, totp_secret = people.add(world.use, world.admin, "birch-university", email, "New", Role.MEMBER)
    row = person(world, email)
    assert row.password_hash.startswith("$argon2id$")
    assert totp_secret.encode() not in row.totp_secret_sealed
    assert keys.unseal(world.use.secret, "totp", row.totp_secret_sealed).decode() == totp_secret
    assert len(pyotp.TOTP(totp_secret).now()) == 6
    with pytest.raises(keys.KeyFileError):
        keys.unseal(bytes(32), "totp", row.totp_secret_sealed)
    if world.kind == "sqlite":
        files = Path(world.folder).glob("weightgate.sqlite3*")
        content = b"".join(path.read_bytes() for path in files)
        assert email.encode() in content
        assert totp_secret.encode() not in content
        assert password.encode() not in content
    assert totp_secret.encode() not in b"".join(entry.record for entry in world.entries())


def test_a_role_belongs_to_the_lab_or_to_partners(sqlite_world: World) -> None:
    """Nobody in a partner is staff, and nobody in the lab an owner."""
    partners = {Role.OWNER, Role.MEMBER}
    for organization, roles in ((AURORA, partners), ("example-lab", STAFF)):
        for role in Role:
            if role in roles:
                assert person(sqlite_world, add(sqlite_world, f"a-{role}", role, organization)).role == role
            else:
                with pytest.raises(InvalidRequest):
                    add(sqlite_world, f"a-{role}", role, organization)


BAD_PEOPLE: list[tuple[str, str, type[Refused]]] = [
    ("no address", "New", InvalidRequest), ("a@b c", "New", InvalidRequest),
    ("a" * 250 + "@b.ex", "New", InvalidRequest), ("new@b.example", " ", InvalidRequest),
    ("new@b.example", "x" * 201, InvalidRequest), ("new@b.example", "New\n\nOpen https://x.example", InvalidRequest),
    ("OWNER@aurora-institute.example ", "New", NotPossible),
]  # fmt: skip


def test_a_person_that_makes_no_sense_is_refused(sqlite_world: World) -> None:
    """No address, no name, one that would be lines of a mail, or an address that is taken in another spelling."""
    for email, name, code in BAD_PEOPLE:
        with pytest.raises(code):
            people.add(sqlite_world.use, sqlite_world.admin, AURORA, email, name, Role.MEMBER, PASSWORD)


def manage(world: World, act: str, caller: Caller, email: str) -> None:
    if act == "add":
        people.add(world.use, caller, AURORA, f"new-{email}", "New", Role.MEMBER, PASSWORD)
    elif act == "disable":
        people.disable(world.use, caller, email)
    elif act == "enable":
        people.enable(world.use, caller, email)
    else:
        people.reset_password(world.use, caller, email)


@pytest.mark.parametrize("act", ["add", "disable", "enable", "reset_password"])
def test_owners_manage_their_own_organization_and_admins_all(sqlite_world: World, act: str) -> None:
    """A partner's owner reaches into no other organization; members and other staff manage nobody."""
    world = sqlite_world
    add(world, "member", Role.MEMBER)
    for by in ("unsigned", "member", "auditor", "publisher", "cleared", "admin"):
        caller, email = world.person(by), add(world, f"subject-of-{by}", Role.MEMBER)
        if act == "enable":
            people.disable(world.use, world.admin if by == "admin" else world.person("cleared"), email)
        if by in {"cleared", "admin"}:
            manage(world, act, caller, email)
        else:
            with pytest.raises(NotPermitted):
                manage(world, act, caller, email)


def test_the_last_owner_cannot_be_disabled(world: World) -> None:
    """A partner keeps somebody who can act for it; with a second owner the first may go."""
    email = world.example.people["cleared"]["email"]
    with pytest.raises(NotPossible):
        people.disable(world.use, world.admin, email)
    add(world, "second", Role.OWNER)
    people.disable(world.use, world.admin, email)
    with pytest.raises(NotPossible):
        people.disable(world.use, world.admin, world.example.people["second"]["email"])


def test_two_admins_always_remain(world: World) -> None:
    """With one admin nothing could be approved any more; a third may go, whoever it is."""
    with pytest.raises(NotPossible):
        people.disable(world.use, world.admin, world.admin2.person or "")
    third = add(world, "third", Role.ADMIN, "example-lab")
    people.disable(world.use, world.admin, world.admin2.person or "")
    with pytest.raises(NotPossible):
        people.disable(world.use, world.admin, third)
    people.enable(world.use, world.admin, world.admin2.person or "")
    people.disable(world.use, world.admin, third)


def test_whom_the_lab_has_disabled_it_alone_enables(world: World) -> None:
    """Also when their organization was first; what an owner has done, an owner undoes."""
    email, owner = add(world, "second", Role.MEMBER), world.person("cleared")
    people.disable(world.use, owner, email)
    people.enable(world.use, owner, email)
    people.disable(world.use, owner, email)
    with pytest.raises(NotPossible, match="already disabled"):
        people.disable(world.use, owner, email)
    people.disable(world.use, world.admin, email)
    with pytest.raises(NotPossible, match="already disabled"):
        people.disable(world.use, world.admin2, email)
    with pytest.raises(NotPossible, match="only the lab can enable it"):
        people.enable(world.use, owner, email)
    people.enable(world.use, world.admin2, email)
    people.disable(world.use, owner, email)
    people.enable(world.use, owner, email)


def test_two_owners_who_disable_each_other_do_not_both_succeed(world: World) -> None:
    """Counting who remains and disabling is one step, also for two at the same moment."""
    add(world, "second", Role.OWNER)
    first, second = world.person("cleared"), world.person("second")
    both = threading.Barrier(2)
    clock = world.use.clock

    def meeting_clock() -> datetime:
        with suppress(threading.BrokenBarrierError):
            both.wait(0.2)
        return clock()

    def disable(caller: Any, other: Any) -> bool:
        with suppress(NotPossible):
            people.disable(world.use, caller, other.person)
            return True
        return False

    world.use.clock = meeting_clock
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(disable, first, second), pool.submit(disable, second, first)]
    world.use.clock = clock
    assert sorted(future.result() for future in done) == [False, True]


def test_nobody_disables_themselves(world: World) -> None:
    """It takes another person, even where enough would remain."""
    add(world, "second", Role.OWNER)
    with pytest.raises(NotPossible):
        people.disable(world.use, world.person("second"), world.example.people["second"]["email"])


def test_disabling_and_enabling_are_said_once(world: World) -> None:
    """Doing what is done already is refused, and each act is one entry of the log."""
    email = add(world, "member", Role.MEMBER)
    people.disable(world.use, world.admin, email)
    with pytest.raises(NotPossible):
        people.disable(world.use, world.admin, email)
    people.enable(world.use, world.admin, email)
    with pytest.raises(NotPossible):
        people.enable(world.use, world.admin, email)
    assert [entry.kind for entry in world.entries()][-2:] == ["person.disable", "person.enable"]
    assert world.records("person.disable")[0]["tokens_revoked"] == 0


def test_a_reset_password_replaces_the_old_one(world: World) -> None:
    """The old password stops at once, and the new one is not in the log."""
    known = world.example.people["cleared"]
    new = people.reset_password(world.use, world.admin, known["email"])
    with pytest.raises(InvalidCredentials):
        people.sign_in_for_command(world.use, known["email"], known["password"])
    assert people.sign_in_for_command(world.use, known["email"], new).person == known["email"]
    assert new.encode() not in world.entries("person.reset_password")[0].record


@pytest.mark.parametrize("act", [people.disable, people.enable, people.reset_password])
def test_an_unknown_person_is_not_found(sqlite_world: World, act: Any) -> None:
    """No act on nobody."""
    with pytest.raises(NotFound):
        act(sqlite_world.use, sqlite_world.admin, "nobody@nowhere.example")


def test_everyone_sees_the_people_of_their_own_organization(world: World) -> None:
    """For staff that is everybody."""
    add(world, "member", Role.MEMBER)
    seen = {}
    for name in ("cleared", "member", "unsigned", "auditor"):
        with world.use.database.reading() as session:
            seen[name] = {row.email for row in people.visible(session, world.person(name), Slice(100)).items}
    aurora = {world.example.people[name]["email"] for name in ("cleared", "member")}
    assert seen["cleared"] == seen["member"] == aurora
    assert seen["unsigned"] == {world.example.people["unsigned"]["email"]}
    assert seen["auditor"] == {known["email"] for known in world.example.people.values()}
