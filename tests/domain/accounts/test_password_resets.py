"""Password resets: a link alone changes nothing, works once and for an hour, and tells nobody who has an account."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from server.domain.accounts import factors, password_resets
from server.domain.accounts.password_resets import PasswordReset
from server.domain.errors import InvalidCredentials, InvalidRequest, NotPossible
from server.domain.identity import people
from server.domain.identity.people import Person
from server.domain.mail.mails import Mail
from tests.domain.accounts.test_factors import open_sessions, signed_in, totp
from tests.world import STRANGER, World

PASSWORD = "quite another long password"


def ask(world: World, name: str = "cleared") -> str:
    password_resets.ask(world.use, world.example.people[name]["email"].upper())
    with world.use.database.reading() as session:
        text = session.scalars(select(Mail.text).where(Mail.kind == "password_reset").order_by(Mail.id.desc())).first()
    found = re.search(r"/password/([\w-]{43})$", text or "", re.MULTILINE)
    assert found
    return found[1]


def test_a_link_and_a_second_factor_replace_the_password(world: World) -> None:
    """Every session ends; the person is told by mail, and the log tells it without a secret."""
    caller = signed_in(world)
    secret = ask(world)
    password_resets.reset(world.use, STRANGER, secret, PASSWORD, totp(world, caller))
    assert people.prove(world.use, caller.person or "", PASSWORD).id == caller.person_id
    with pytest.raises(InvalidCredentials):
        people.prove(world.use, caller.person or "", world.example.people["cleared"]["password"])
    assert open_sessions(world) == []
    (record,) = world.records("password.reset")
    assert record["person"] == caller.person
    with pytest.raises(NotPossible):
        password_resets.reset(world.use, STRANGER, secret, PASSWORD, totp(world, caller, 30))
    with world.use.database.reading() as session:
        kinds = [mail.kind for mail in session.scalars(select(Mail).order_by(Mail.id))]
    assert kinds[-2:] == ["password_reset", "account_changed"]


def test_a_link_alone_changes_nothing(sqlite_world: World) -> None:
    """Five wrong codes end it, and a refused try leaves the password and a recovery code as they are."""
    world, caller = sqlite_world, signed_in(sqlite_world)
    recovery = factors.make_recovery_codes(world.use, caller, 0)
    secret, right = ask(world), totp(world, caller)
    wrong = "000000" if right != "000000" else "111111"
    for typed in (wrong, "", "abcd-abcd-abcd-abcd", wrong):
        with pytest.raises(InvalidRequest):
            password_resets.reset(world.use, STRANGER, secret, PASSWORD, typed)
    with pytest.raises(InvalidRequest):  # too short; not a try
        password_resets.reset(world.use, STRANGER, secret, "short", recovery[0])
    password_resets.reset(world.use, STRANGER, secret, PASSWORD, recovery[0])
    other = ask(world)
    for _ in range(5):
        with pytest.raises(InvalidRequest):
            password_resets.reset(world.use, STRANGER, other, PASSWORD, wrong)
    with pytest.raises(NotPossible):
        password_resets.reset(world.use, STRANGER, other, PASSWORD, right)


def test_a_link_ends_after_an_hour_by_a_newer_one_and_with_the_person(sqlite_world: World) -> None:
    """Whichever comes first."""
    world, caller = sqlite_world, signed_in(sqlite_world)
    older, newer = ask(world), ask(world)
    with pytest.raises(NotPossible):
        password_resets.reset(world.use, STRANGER, older, PASSWORD, totp(world, caller))
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(NotPossible):
        password_resets.reset(world.use, STRANGER, newer, PASSWORD, totp(world, caller))
    newest = ask(world)
    with world.use.database.transaction() as session:
        session.execute(update(Person).where(Person.id == caller.person_id).values(disabled_at=world.clock()))
    with pytest.raises(NotPossible):
        password_resets.reset(world.use, STRANGER, newest, PASSWORD, totp(world, caller))


def test_nothing_tells_who_has_an_account(sqlite_world: World) -> None:
    """The same rows are written for nobody; a mail goes to people who are there only. Old ones are forgotten."""
    world, caller = sqlite_world, sqlite_world.person("cleared")
    with world.use.database.transaction() as session:
        session.execute(update(Person).where(Person.id == caller.person_id).values(disabled_at=world.clock()))
    for email in ("nobody@example.org", caller.person or "", "", "x" * 500):
        password_resets.ask(world.use, email)
    with world.use.database.reading() as session:
        assert [row.person_id for row in session.scalars(select(PasswordReset))] == [None] * 4
        assert list(session.scalars(select(Mail).where(Mail.kind == "password_reset"))) == []
    world.clock.advance(timedelta(days=31))
    password_resets.clean(world.use)
    with world.use.database.reading() as session:
        assert list(session.scalars(select(PasswordReset))) == []
