"""Device logins: nothing without a person's approval, one token for one device code, and nothing after its time."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select

from server.domain.callers import Caller
from server.domain.errors import AuthenticationRequired, InsufficientScope, InvalidRequest, NotFound, TooManyAttempts
from server.domain.identity import device_logins, people
from server.domain.identity.device_logins import Answer, Begun, DeviceLogin
from server.domain.identity.tokens import NewToken
from server.domain.permissions import Role, Scope
from tests.world import STRANGER, World, cases

MIA = "mia@aurora-institute.example"
NAME, ASKED = "weightgate on node-7", {Scope.STAGES_READ, Scope.DOWNLOADS_CREATE}
MONTH = timedelta(days=30)
PATIENTLY = timedelta(seconds=device_logins.INTERVAL_SECONDS)


def begin(world: World) -> Begun:
    return device_logins.begin(world.use, STRANGER, NAME, ASKED)


def approve(world: World, begun: Begun, by: Caller | None = None) -> None:
    owner = by or world.person("cleared")
    device_logins.approve(world.use, owner, begun.user_code, "node-7", {Scope.STAGES_READ}, MONTH, ["192.0.2.1"])


def ask(world: World, begun: Begun) -> NewToken | Answer:
    """As a well-behaved program asks: never before its time."""
    world.clock.advance(PATIENTLY)
    return device_logins.ask(world.use, begun.device_code)


def test_a_program_gets_what_a_person_approved(world: World) -> None:
    """Its token acts for them, with the scopes, networks and life that they chose; the entry says who approved it."""
    begun = begin(world)
    assert ask(world, begun) is Answer.PENDING
    owner = world.person("cleared")
    approve(world, begun, owner)
    made = ask(world, begun)
    assert isinstance(made, NewToken)
    assert (made.token.person_id, made.token.scopes, made.token.networks) == (
        owner.person_id, "stages:read", "192.0.2.1/32",
    )  # fmt: skip
    assert made.token.expires_at - made.token.created_at == MONTH
    (entry,) = [record for record in world.records("token.create") if record["token"] == made.token.public_id]
    assert entry["actor"]["person"] == owner.person


def test_a_device_code_is_good_for_one_token(world: World) -> None:
    """However many ask with it at once."""
    begun = begin(world)
    approve(world, begun)
    world.clock.advance(PATIENTLY)
    with world.use.database.transaction() as session:  # whoever asks twice in five seconds is told to slow down
        session.scalars(select(DeviceLogin)).one().interval_seconds = 0
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: device_logins.ask(world.use, begun.device_code), range(6)))
    assert sum(isinstance(one, NewToken) for one in answers) == 1
    assert {one for one in answers if isinstance(one, Answer)} == {Answer.UNKNOWN}
    assert ask(world, begun) is Answer.UNKNOWN


def test_nothing_is_made_when_it_was_denied(world: World) -> None:
    """And nobody can approve it afterwards."""
    begun = begin(world)
    device_logins.deny(world.use, world.person("cleared"), begun.user_code)
    with pytest.raises(NotFound):
        approve(world, begun)
    assert ask(world, begun) is Answer.DENIED


def test_both_codes_end_after_ten_minutes(world: World) -> None:
    """Approved or not."""
    begun, approved = begin(world), begin(world)
    approve(world, approved)
    world.clock.advance(device_logins.LIFETIME)
    with pytest.raises(NotFound):
        approve(world, begun)
    assert ask(world, begun) is Answer.EXPIRED
    assert ask(world, approved) is Answer.EXPIRED


def test_whoever_asks_too_often_must_wait_longer(world: World) -> None:
    """Five seconds more each time (RFC 8628, section 3.5)."""
    begun = begin(world)
    assert ask(world, begun) is Answer.PENDING
    assert device_logins.ask(world.use, begun.device_code) is Answer.SLOW_DOWN
    assert ask(world, begun) is Answer.SLOW_DOWN, "ten seconds by now"
    world.clock.advance(3 * PATIENTLY)
    assert device_logins.ask(world.use, begun.device_code) is Answer.PENDING


def test_an_invented_code_is_unknown(world: World) -> None:
    """Of either sort, in whatever form."""
    begin(world)
    assert device_logins.ask(world.use, "invented") is Answer.UNKNOWN
    with world.use.database.reading() as session:
        for typed in ("", "BCDF-GHJK", "not a code", "\0", "x" * 300):
            with pytest.raises(NotFound):
                device_logins.waiting(session, world.person("cleared"), typed, world.clock())


def test_a_code_may_be_typed_as_people_type(world: World) -> None:
    """In small letters, without the hyphen, with spaces."""
    begun, owner = begin(world), world.person("cleared")
    with world.use.database.reading() as session:
        for typed in (begun.user_code.lower(), begun.user_code.replace("-", ""), f" {begun.user_code} "):
            assert device_logins.waiting(session, owner, typed, world.clock()).name == NAME


def test_whoever_approved_and_may_no_longer_gives_nothing(world: World) -> None:
    """Disabled between approval and question: no token, and the program reads that it was denied."""
    world.add_person("aurora-institute", MIA, Role.OWNER)
    begun = begin(world)
    approve(world, begun, world.person_of(MIA))
    people.disable(world.use, world.person("cleared"), MIA)
    before = len(world.records("token.create"))
    assert ask(world, begun) is Answer.DENIED
    assert len(world.records("token.create")) == before


def test_only_people_approve_and_only_what_they_may(world: World) -> None:
    """Neither strangers nor tokens; no scope that their role has no use for."""
    begun = begin(world)
    with pytest.raises(AuthenticationRequired):
        approve(world, begun, STRANGER)
    with pytest.raises(InsufficientScope):
        approve(world, begun, world.caller("cleared"))
    with pytest.raises(InvalidRequest, match="checkpoints:publish"):
        device_logins.approve(
            world.use, world.person("cleared"), begun.user_code, "x", {Scope.CHECKPOINTS_PUBLISH}, MONTH
        )
    assert ask(world, begun) is Answer.PENDING


def test_one_network_cannot_fill_the_table(world: World) -> None:
    """Twenty wait at most, others are not concerned, and what is older than a day is gone."""
    for _ in range(device_logins.WAITING_AT_MOST):
        begin(world)
    with pytest.raises(TooManyAttempts) as refused:
        begin(world)
    assert 0 < (refused.value.retry_after_seconds or 0) <= 600
    device_logins.begin(world.use, Caller(via="anonymous", address="192.0.2.9"), NAME, ASKED)
    world.clock.advance(device_logins.KEPT_FOR + PATIENTLY)
    begin(world)
    with world.use.database.reading() as session:
        assert len(session.scalars(select(DeviceLogin)).all()) == 1


@cases("name", ["", "  ", "x" * 101, "two\nlines", "\0", "a\u202eb"])
def test_a_program_has_a_name_that_can_be_read(world: World, name: str) -> None:
    """A person decides by it."""
    with pytest.raises(InvalidRequest, match="client_id"):
        device_logins.begin(world.use, STRANGER, name, ASKED)


def test_codes_are_random_and_of_letters_that_spell_nothing(world: World) -> None:
    """No two alike, without vowels; the secret one is long."""
    made = [begin(world) for _ in range(device_logins.WAITING_AT_MOST)]
    assert Counter(one.user_code for one in made).most_common(1)[0][1] == 1
    assert not set("".join(one.user_code for one in made)) & set("AEIOUY0123456789")
    assert all(len(one.device_code) == 43 for one in made)
