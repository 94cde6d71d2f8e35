"""Passkeys: only the right device, unlocked by its person, for this host, with this challenge, once."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from datetime import timedelta

import cbor2
import pytest

from server.domain.accounts import factors, passkeys, sign_in
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotPossible, PersonDisabled
from server.domain.identity.people import Person
from tests.authenticator import PRESENT, VERIFIED, Authenticator, text
from tests.world import STRANGER, World


def add(world: World, caller: Caller, device: Authenticator, name: str = "laptop") -> None:
    ceremony, options = passkeys.ask_new(world.use, caller)
    passkeys.add(world.use, caller, ceremony, device.make(options), name)


def enter(world: World, device: Authenticator) -> sign_in.SignedIn:
    ceremony, options = passkeys.ask(world.use, None)
    return sign_in.by_passkey(world.use, STRANGER, ceremony, device.answer(options))


def test_a_passkey_signs_in_without_an_address_or_a_password(world: World) -> None:
    """Whose it is, is seen by it; and the log tells of its adding."""
    device = Authenticator()
    add(world, world.person("cleared"), device)
    assert enter(world, device).role == "owner"
    assert enter(world, device).secret != enter(world, device).secret
    with world.use.database.reading() as session:
        (kept,) = factors.passkeys(session, world.person("cleared").person_id)
    assert (kept.name, kept.sign_count) == ("laptop", 3)
    (record,) = world.records("person.factor_add")
    assert (record["factor"], record["name"]) == ("passkey", "laptop")


WRONG: dict[str, Callable[[Authenticator], object]] = {
    "not unlocked": lambda device: setattr(device, "flags", PRESENT),
    "nobody there": lambda device: setattr(device, "flags", VERIFIED),
    "another host": lambda device: setattr(device, "host", "evil.example"),
    "another origin": lambda device: setattr(device, "origin", "https://localhost:8080"),
    "another device": lambda device: setattr(device, "id", b"another one"),
    "another key": lambda device: setattr(device, "key", Authenticator().key),
    "a counter that goes back": lambda device: setattr(device, "count", -1),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_a_wrong_device_answers_is_not_accepted(
    sqlite_world: World, wrong: Callable[[Authenticator], object]
) -> None:
    """One thing that is wrong is enough."""
    device = Authenticator(count=5)
    add(sqlite_world, sqlite_world.person("cleared"), device)
    wrong(device)
    with pytest.raises(InvalidRequest, match="not accepted"):
        enter(sqlite_world, device)


def test_an_answer_works_once_in_its_five_minutes(sqlite_world: World) -> None:
    """Whoever records one has nothing; nor does an answer to another challenge help."""
    device, use = Authenticator(), sqlite_world.use
    add(sqlite_world, sqlite_world.person("cleared"), device)
    ceremony, options = passkeys.ask(use, None)
    answer = device.answer(options)
    sign_in.by_passkey(use, STRANGER, ceremony, answer)
    with pytest.raises(NotPossible):
        sign_in.by_passkey(use, STRANGER, ceremony, answer)
    other, options = passkeys.ask(use, None)
    with pytest.raises(InvalidRequest):
        sign_in.by_passkey(use, STRANGER, other, answer)
    late = device.answer(options)
    sqlite_world.clock.advance(timedelta(minutes=5))
    with pytest.raises(NotPossible):
        sign_in.by_passkey(use, STRANGER, other, late)


NO_ANSWER = ["", "{", "[]", "null", '"x"', "{}", '{"id": 1}', '{"id":"YQ","rawId":"YQ","response":{}}', "[" * 19_000]


@pytest.mark.parametrize("answer", NO_ANSWER, ids=range(len(NO_ANSWER)))
def test_what_is_no_answer_is_refused(sqlite_world: World, answer: str) -> None:
    """Whatever somebody sends in its place."""
    ceremony, _ = passkeys.ask(sqlite_world.use, None)
    with pytest.raises(InvalidRequest):
        sign_in.by_passkey(sqlite_world.use, STRANGER, ceremony, answer)
    caller = sqlite_world.person("cleared")
    ceremony, _ = passkeys.ask_new(sqlite_world.use, caller)
    with pytest.raises(InvalidRequest):
        passkeys.add(sqlite_world.use, caller, ceremony, answer, "x")


def test_a_device_that_vouches_for_itself_in_nonsense_is_not_added(sqlite_world: World) -> None:
    """The library reads what such a device says of its maker, and stumbles over what no device writes."""
    caller = sqlite_world.person("cleared")
    ceremony, options = passkeys.ask_new(sqlite_world.use, caller)
    made = json.loads(Authenticator().make(options))
    told = cbor2.loads(urlsafe_b64decode(made["response"]["attestationObject"] + "=="))
    told |= {"fmt": "android-safetynet", "attStmt": {"ver": "1", "response": "no bytes"}}
    made["response"]["attestationObject"] = text(cbor2.dumps(told))
    with pytest.raises(InvalidRequest, match="not accepted"):
        passkeys.add(sqlite_world.use, caller, ceremony, json.dumps(made), "x")


def test_a_device_that_is_not_unlocked_is_not_added(sqlite_world: World) -> None:
    """It would be a second factor without a first."""
    with pytest.raises(InvalidRequest):
        add(sqlite_world, sqlite_world.person("cleared"), Authenticator(flags=PRESENT))


def test_what_was_asked_of_one_person_is_not_answered_by_another(sqlite_world: World) -> None:
    """Adding, confirming, and the second factor after a password: each only by whom it was asked of."""
    use, mine, foreign = sqlite_world.use, Authenticator(), Authenticator()
    owner, other = sqlite_world.person("cleared"), sqlite_world.person("unsigned")
    add(sqlite_world, owner, mine)
    add(sqlite_world, other, foreign)
    ceremony, options = passkeys.ask_new(use, owner)
    with pytest.raises(InvalidRequest):
        passkeys.add(use, other, ceremony, Authenticator().make(options), "taken over")
    ceremony, options = passkeys.ask(use, owner.person_id)
    with pytest.raises(InvalidRequest):
        sign_in.by_passkey(use, STRANGER, ceremony, foreign.answer(options))
    person = sqlite_world.example.people["cleared"]
    password = sign_in.begin(use, person["email"], person["password"])
    ceremony, options = passkeys.ask(use, None)
    with pytest.raises(InvalidRequest):
        sign_in.by_passkey(use, STRANGER, ceremony, foreign.answer(options), password)
    ceremony, options = passkeys.ask(use, owner.person_id)
    assert sign_in.by_passkey(use, STRANGER, ceremony, mine.answer(options), password).secret


def test_a_removed_passkey_and_a_disabled_person_open_nothing(sqlite_world: World) -> None:
    """Both at once."""
    device, spare = Authenticator(), Authenticator()
    caller = sqlite_world.person("cleared")
    add(sqlite_world, caller, device)
    add(sqlite_world, caller, spare, "spare")
    with sqlite_world.use.database.reading() as session:
        first = factors.passkeys(session, caller.person_id)[0]
    factors.remove_passkey(sqlite_world.use, caller, first.id)
    with pytest.raises(InvalidRequest):
        enter(sqlite_world, device)
    with sqlite_world.use.database.transaction() as session:
        session.get_one(Person, caller.person_id).disabled_at = sqlite_world.clock()
    with pytest.raises(PersonDisabled):
        enter(sqlite_world, spare)
