"""Sessions: how long they live, who ends them, and that the database holds nothing that opens one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from server.domain.accounts import factors
from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired, NotFound, PersonDisabled
from server.domain.identity import authentication, people, sessions
from server.domain.identity.sessions import PARTNER_LIMITS, STAFF_LIMITS, SignIn
from server.domain.paging import Slice
from tests.world import STRANGER, World

MINUTE = timedelta(minutes=1)


def begin(world: World, name: str = "cleared") -> str:
    with world.use.database.transaction() as session:
        return sessions.begin(session, STRANGER, world.person(name).person_id or 0, "totp", world.clock())


def of(world: World, secret: str) -> Caller:
    """Whose session it is, if it still works."""
    caller, refused = authentication.identify_session(world.use, secret, STRANGER)
    if refused is not None:
        raise refused
    return caller


LIMITS = [("cleared", PARTNER_LIMITS), ("admin", STAFF_LIMITS), ("auditor", STAFF_LIMITS)]


@pytest.mark.parametrize(("name", "limits"), LIMITS)
def test_a_session_ends_when_nobody_uses_it_and_after_a_day_s_work(
    sqlite_world: World, name: str, limits: sessions.Limits
) -> None:
    """Idle and altogether; the lab's are shorter."""
    secret = begin(sqlite_world, name)
    sqlite_world.clock.advance(limits.idle - MINUTE)
    assert of(sqlite_world, secret).session_id
    sqlite_world.clock.advance(limits.idle)
    with pytest.raises(AuthenticationRequired):
        of(sqlite_world, secret)
    used = begin(sqlite_world, name)
    left = limits.absolute - MINUTE
    while left > timedelta(0):
        step = min(left, limits.idle - MINUTE)
        sqlite_world.clock.offset += step
        left -= step
        assert of(sqlite_world, used).session_id
    sqlite_world.clock.advance(MINUTE)
    with pytest.raises(AuthenticationRequired):
        of(sqlite_world, used)


def test_a_sign_in_is_fresh_for_five_minutes(sqlite_world: World) -> None:
    """Then acts of the lab ask for proof."""
    secret = begin(sqlite_world, "admin")
    assert of(sqlite_world, secret).fresh
    sqlite_world.clock.advance(timedelta(minutes=5))
    assert not of(sqlite_world, secret).fresh


def test_a_copy_of_the_database_opens_no_session(sqlite_world: World) -> None:
    """It holds hashes of the secrets, and a hash is no secret."""
    secret = begin(sqlite_world)
    with sqlite_world.use.database.reading() as session:
        kept = session.scalars(select(SignIn)).one()
    assert secret.encode() not in kept.secret_sha256
    for wrong in (kept.secret_sha256.hex(), secret[:-1], "", "x" * 10_000):
        with pytest.raises(AuthenticationRequired):
            of(sqlite_world, wrong)


def test_disabling_a_person_and_changing_a_password_end_sessions_at_once(sqlite_world: World) -> None:
    """At the next request; the one that changed its own password stays, and no other."""
    world, password = sqlite_world, "quite another long password"
    here, elsewhere = begin(world), begin(world)
    caller = of(world, here)
    factors.change_password(world.use, caller, world.example.people["cleared"]["password"], password)
    assert of(world, here).session_id
    with pytest.raises(AuthenticationRequired):
        of(world, elsewhere)
    (record,) = world.records("person.password_change")
    assert record["person"] == caller.person
    people.reset_password(world.use, world.admin, caller.person or "", "a password from an admin")
    with pytest.raises(AuthenticationRequired):
        of(world, here)
    member = begin(world, "auditor")
    people.disable(world.use, world.admin, world.example.people["auditor"]["email"])
    with pytest.raises((AuthenticationRequired, PersonDisabled)):
        of(world, member)


def test_a_person_ends_their_own_sessions_only(sqlite_world: World) -> None:
    """One, or all others; somebody else's are not there."""
    world = sqlite_world
    here, elsewhere, foreign = of(world, begin(world)), begin(world), begin(world, "unsigned")
    with pytest.raises(NotFound):
        sessions.end(world.use, here, of(world, foreign).session_id or 0)
    sessions.end(world.use, here, of(world, elsewhere).session_id or 0)
    with pytest.raises(AuthenticationRequired):
        of(world, elsewhere)
    another = begin(world)
    sessions.end_others(world.use, here)
    with pytest.raises(AuthenticationRequired):
        of(world, another)
    assert of(world, foreign).session_id
    with world.use.database.reading() as session:
        assert [row.ended_at is None for row in sessions.own(session, here, Slice(50)).items] == [False, False, True]


def test_old_sessions_are_forgotten(sqlite_world: World) -> None:
    """After 90 days, which is how far a person sees back."""
    caller = replace(of(sqlite_world, begin(sqlite_world)))
    sqlite_world.clock.advance(timedelta(days=90))
    begin(sqlite_world)
    sqlite_world.clock.advance(MINUTE)
    sessions.clean(sqlite_world.use)
    with sqlite_world.use.database.reading() as session:
        assert len(sessions.own(session, caller, Slice(50)).items) == 1
