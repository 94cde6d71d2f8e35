"""Refusals: every "no" is remembered with whom it was given to, whatever was asked."""

import pytest

from server.domain import errors
from server.domain.access import refusals
from server.domain.callers import Caller
from server.domain.errors import (
    AuthenticationRequired,
    InvalidCredentials,
    InvalidRequest,
    NotCleared,
    NotFound,
    Refused,
)
from tests.world import STRANGER, World


def test_a_refusal_is_remembered_in_a_plain_table(world: World) -> None:
    """Who, what, code and when; and nothing of it in the log."""
    caller, known = world.caller("uncleared"), len(world.entries())
    refusals.record(world.use, caller, NotCleared(), "POST /api/v1/downloads")
    (row,) = world.refusals()
    assert (row.code, row.detail, row.asked) == ("not_cleared", str(NotCleared.__doc__), "POST /api/v1/downloads")
    assert (row.organization_id, row.person_id, row.token_id) == (
        caller.organization_id, caller.person_id, caller.token_id,
    )  # fmt: skip
    assert (row.address, row.request_id) == ("127.0.0.1", "0" * 16)
    assert abs((world.clock() - row.refused_at).total_seconds()) < 60
    assert len(world.entries()) == known


@pytest.mark.parametrize("refused", [AuthenticationRequired(), InvalidCredentials()])
def test_strangers_do_not_fill_the_table(world: World, refused: Refused) -> None:
    """Anybody can be refused for nothing; only known callers and other refusals leave a row."""
    refusals.record(world.use, STRANGER, refused, "GET /")
    assert world.refusals() == []
    refusals.record(world.use, world.caller("expired"), refused, "GET /")
    refusals.record(world.use, STRANGER, NotCleared(), "GET /")
    assert len(world.refusals()) == 2


@pytest.mark.parametrize(
    "odd", ["\0", "\udc80", "\x1b[2J", "é", "x" * 5000], ids=["nul", "surrogate", "escape", "é", "long"]
)
def test_whatever_was_asked_can_be_stored(world: World, odd: str) -> None:
    """NUL, half characters, control codes and length break neither database; what is readable stays."""
    refusals.record(world.use, world.caller("cleared"), InvalidRequest(f"bad {odd}"), f"GET /{odd}")
    (row,) = world.refusals()
    assert row.asked.startswith("GET /")
    assert row.detail.startswith("bad ")
    assert (len(row.asked) <= 500, len(row.detail) <= 1000) == (True, True)
    assert row.asked.isprintable()
    assert ("é" in row.asked) == (odd == "é")


@pytest.mark.parametrize("path", ["/stages/gpt-2/%00", "/downloads/%00/urls", "/stages/%ED%A0%80/x"])
def test_odd_addresses_are_refused_and_not_failed(world: World, path: str) -> None:
    """A NUL in an address is a 4xx on both databases, never a 500."""
    method = "POST" if path.endswith("urls") else "GET"
    answer = world.api(method, path, json={}) if method == "POST" else world.api(method, path)
    assert 400 <= answer.status_code < 500


def all_refusals() -> list[type[Refused]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused)]


def test_every_refusal_says_what_happened_and_what_to_do() -> None:
    """Its docstring and its next step are sentences for a person, and its code is its name."""
    kinds = [kind for kind in all_refusals() if kind.__base__ is Refused]
    assert len(kinds) == 26
    for kind in kinds:
        code = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
        assert kind.code == code.removeprefix("_")
        assert str(kind.__doc__).endswith(".")
        assert kind.next_step.endswith((".", "…`."))
        assert kind().detail == kind.__doc__
    assert len({kind.code for kind in kinds}) == len(kinds)
    kept = {NotFound.code, errors.IdentityTokenRefused.code}  # for the hub, and for those that protocols tell apart
    assert {kind.code for kind in {*all_refusals()} - {Refused, *kinds}} == kept


def test_a_refusal_for_nobody_known_has_no_names(sqlite_world: World) -> None:
    """What is not known is null, not empty."""
    refusals.record(sqlite_world.use, Caller(via="anonymous"), NotCleared(), "GET /")
    (row,) = sqlite_world.refusals()
    assert (row.organization_id, row.person_id, row.token_id, row.address, row.request_id) == (None,) * 5
