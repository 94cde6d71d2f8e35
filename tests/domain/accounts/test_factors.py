"""Factors: a code counts once, whoever races; the new app counts when it has shown one; recovery codes are ten."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select

from server.domain.accounts import factors, sign_in
from server.domain.accounts.ceremonies import Ceremony
from server.domain.accounts.factors import Passkey, RecoveryCode
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible, Refused
from server.domain.identity import sessions
from server.domain.identity.people import Person
from server.domain.identity.sessions import SignIn
from server.storage import keys
from tests.world import STRANGER, World


def signed_in(world: World, name: str = "cleared") -> Caller:
    """A person with a session of their own, and one elsewhere."""
    caller = world.person(name)
    with world.use.database.transaction() as session:
        sessions.begin(session, STRANGER, caller.person_id or 0, "totp", world.clock())
        sessions.begin(session, STRANGER, caller.person_id or 0, "totp", world.clock())
        newest = session.scalars(select(SignIn.id).order_by(SignIn.id.desc())).first()
    return replace(caller, via="session", session_id=newest)


def open_sessions(world: World) -> list[int]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(SignIn.id).where(SignIn.ended_at.is_(None))))


def totp(world: World, caller: Caller, seconds: float = 0) -> str:
    with world.use.database.reading() as session:
        sealed = session.get_one(Person, caller.person_id).totp_secret_sealed
    secret = keys.unseal(world.use.secret, "totp", sealed).decode()
    return pyotp.TOTP(secret).at(world.clock() + timedelta(seconds=seconds))


def begin_a_step(world: World) -> None:
    """Go on to where a code has just become valid: what follows has half a minute, also on a busy machine."""
    world.clock.offset += timedelta(seconds=30 - world.clock().timestamp() % 30)


def begun(world: World, name: str = "cleared") -> str:
    person = world.example.people[name]
    return sign_in.begin(world.use, person["email"], person["password"])


def test_of_two_who_send_the_same_code_at_once_one_gets_in(world: World) -> None:
    """Each with the right password, and each in time."""
    begin_a_step(world)
    code, ceremonies = totp(world, world.person("cleared")), [begun(world) for _ in range(4)]

    def enter(ceremony: str) -> bool:
        try:
            return bool(sign_in.by_totp(world.use, STRANGER, ceremony, code).secret)
        except InvalidRequest:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(enter, ceremonies)) == [False, False, False, True]
    assert len(open_sessions(world)) == 1


@pytest.mark.parametrize("code", ["", "12345", "0000000", "x" * 500, "１２３４５６", "12 34 5", "\x00" * 6, "-1"])
def test_what_is_no_code_is_refused(sqlite_world: World, code: str) -> None:
    """Whatever its length and letters."""
    with pytest.raises(InvalidRequest):
        sign_in.by_totp(sqlite_world.use, STRANGER, begun(sqlite_world), code)


def test_a_code_may_be_typed_as_apps_show_it(sqlite_world: World) -> None:
    """In two groups of three."""
    code = totp(sqlite_world, sqlite_world.person("cleared"))
    assert sign_in.by_totp(sqlite_world.use, STRANGER, begun(sqlite_world), f" {code[:3]} {code[3:]} ").secret


def test_the_new_app_counts_once_it_has_shown_a_code(world: World) -> None:
    """Until then the old one does; after it, nothing that was signed in elsewhere stays so."""
    use, caller = world.use, signed_in(world)
    begin_a_step(world)
    ceremony = factors.begin_totp(use, caller)
    with use.database.reading() as session:
        secret = factors.pending_totp(session, use, caller, ceremony)
    with pytest.raises(InvalidRequest):
        factors.replace_totp(use, caller, ceremony, totp(world, caller))
    assert sign_in.by_totp(use, STRANGER, begun(world), totp(world, caller)).secret
    code = pyotp.TOTP(secret).at(world.clock())
    factors.replace_totp(use, caller, ceremony, code)
    assert open_sessions(world) == [caller.session_id]
    for used in (code, "123456"):
        with pytest.raises(InvalidRequest):
            sign_in.by_totp(use, STRANGER, begun(world), used)
    assert totp(world, caller) == code
    with pytest.raises(NotPossible):
        factors.replace_totp(use, caller, ceremony, totp(world, caller, 30))
    (record,) = world.records("person.factor_replace")
    assert record["factor"] == "totp"
    assert secret.encode() not in b"".join(entry.record for entry in world.entries())


def test_an_app_is_set_up_by_whom_it_is_for(sqlite_world: World) -> None:
    """Somebody else's ceremony is none of one's own, and a quarter of an hour is enough."""
    use, caller, other = sqlite_world.use, signed_in(sqlite_world), signed_in(sqlite_world, "unsigned")
    ceremony = factors.begin_totp(use, caller)
    with use.database.reading() as session, pytest.raises(NotPossible):
        factors.pending_totp(session, use, other, ceremony)
    with pytest.raises(NotPossible):
        factors.replace_totp(use, other, ceremony, "123456")
    sqlite_world.clock.advance(timedelta(minutes=15))
    with use.database.reading() as session, pytest.raises(NotPossible):
        factors.pending_totp(session, use, caller, ceremony)


def test_recovery_codes_are_ten_and_work_once_each(world: World) -> None:
    """80 random bits, kept as hashes; each use says how many are left; typed as people type."""
    use, caller = world.use, signed_in(world)
    codes = factors.make_recovery_codes(use, caller, 0)
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"([a-z2-7]{4}-){3}[a-z2-7]{4}", code) for code in codes)
    assert open_sessions(world) == [caller.session_id]
    entered = sign_in.by_recovery_code(use, STRANGER, begun(world), codes[3].upper().replace("-", " "))
    assert entered.codes_left == 9
    with pytest.raises(InvalidRequest):
        sign_in.by_recovery_code(use, STRANGER, begun(world), codes[3])
    with use.database.reading() as session:
        kept = b"".join(session.scalars(select(RecoveryCode.code_sha256)))
        assert sum(code.used_at is not None for code in factors.recovery_codes(session, caller)) == 1
    told = b"".join(entry.record for entry in world.entries())
    assert not any(code.encode() in kept + told for code in codes)


def test_new_recovery_codes_replace_the_old_but_not_twice_by_one_form(world: World) -> None:
    """The form of a page that is older than the codes makes none: somebody may just have printed those."""
    use, caller = world.use, signed_in(world)
    old = factors.make_recovery_codes(use, caller, 0)
    with pytest.raises(NotPossible):
        factors.make_recovery_codes(use, caller, 0)
    with use.database.reading() as session:
        newest = factors.recovery_codes(session, caller)[-1].id
    new = factors.make_recovery_codes(use, caller, newest)
    with pytest.raises(NotPossible):
        factors.make_recovery_codes(use, caller, newest)
    ceremony = begun(world)
    with pytest.raises(InvalidRequest):
        sign_in.by_recovery_code(use, STRANGER, ceremony, old[0])
    assert sign_in.by_recovery_code(use, STRANGER, ceremony, new[0]).codes_left == 9


def test_recovery_codes_are_their_person_s(sqlite_world: World) -> None:
    """Another's password does not make them work."""
    code = factors.make_recovery_codes(sqlite_world.use, signed_in(sqlite_world), 0)[0]
    with pytest.raises(InvalidRequest):
        sign_in.by_recovery_code(sqlite_world.use, STRANGER, begun(sqlite_world, "unsigned"), code)


def test_passkeys_are_named_and_removed_by_their_person_alone(sqlite_world: World) -> None:
    """For anybody else there is no such passkey; the authenticator app stays whatever is removed."""
    use, caller, other = sqlite_world.use, signed_in(sqlite_world), signed_in(sqlite_world, "unsigned")
    with use.database.transaction() as session:
        row = Passkey(person_id=caller.person_id, credential_id=b"x", public_key=b"", sign_count=0, name="phone",
                      added_at=sqlite_world.clock())  # fmt: skip
        session.add(row)
        session.flush()
    with pytest.raises(NotFound):
        factors.name_passkey(use, other, row.id, "mine")
    with pytest.raises(NotFound):
        factors.remove_passkey(use, other, row.id)
    for name in ("", " ", "x" * 101, "a\nb"):
        with pytest.raises(InvalidRequest):
            factors.name_passkey(use, caller, row.id, name)
    factors.name_passkey(use, caller, row.id, " old phone ")
    factors.remove_passkey(use, caller, row.id)
    with pytest.raises(NotFound):
        factors.remove_passkey(use, caller, row.id)
    (record,) = sqlite_world.records("person.factor_remove")
    assert (record["factor"], record["name"]) == ("passkey", "old phone")
    assert sign_in.by_totp(use, STRANGER, begun(sqlite_world), totp(sqlite_world, caller)).secret


def test_a_password_that_is_changed_meanwhile_ends_the_sign_in(sqlite_world: World) -> None:
    """Whoever knew the old one does not finish with it."""
    caller, ceremony = sqlite_world.person("cleared"), begun(sqlite_world)
    with sqlite_world.use.database.transaction() as session:
        session.get_one(Person, caller.person_id).password_hash = "another"
    with pytest.raises(NotPossible, match="password was changed"):
        sign_in.by_totp(sqlite_world.use, STRANGER, ceremony, totp(sqlite_world, caller))
    with sqlite_world.use.database.reading() as session:
        assert session.scalars(select(Ceremony.attempts)).one() == 1


def test_a_proof_gives_the_session_a_new_secret(sqlite_world: World) -> None:
    """The old one opens nothing; a session that has ended cannot be proved."""
    use, caller = sqlite_world.use, signed_in(sqlite_world)
    with use.database.reading() as session:
        before = session.get_one(SignIn, caller.session_id).secret_sha256
    proven = sign_in.confirm_by_totp(use, caller, totp(sqlite_world, caller))
    with use.database.reading() as session:
        after = session.get_one(SignIn, caller.session_id).secret_sha256
    assert after == sessions.sha256(proven.secret) != before
    sessions.end(use, caller, caller.session_id or 0)
    with pytest.raises(Refused):
        sign_in.confirm_by_totp(use, caller, totp(sqlite_world, caller, 30))
