"""Token uses: known to about five minutes, and never a reason for a request to fail or to wait."""

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text

from server.domain.identity import token_uses
from server.domain.resources import Resources
from tests.world import World


def used(world: World, name: str = "cleared") -> tuple[datetime, str | None] | None:
    token_id = world.caller(name).token_id or 0
    with world.use.database.reading() as session:
        use = token_uses.of(session, [token_id, 0]).get(token_id)
    return None if use is None else (use.used_at, use.address)


def call(world: World, token: str = "cleared", path: str = "/me", address: str = "127.0.0.1") -> int:
    """As a server does it: the answer is closed once it has left."""
    answer = world.api("GET", path, token, environ_base={"REMOTE_ADDR": address})
    answer.close()
    return int(answer.status_code)


def test_a_use_is_noted_once_in_five_minutes(world: World) -> None:
    """With the address that it came from; the next note replaces it."""
    assert used(world) is None
    before = world.clock()
    call(world)
    first = used(world)
    assert first is not None
    assert (before <= first[0] <= world.clock(), first[1]) == (True, "127.0.0.1")
    world.clock.offset += timedelta(minutes=4, seconds=50)
    call(world, address="192.0.2.9")
    assert used(world) == first
    world.clock.offset += timedelta(seconds=10)
    call(world, address="192.0.2.9")
    second = used(world)
    assert second is not None
    assert (second[0] > first[0], second[1]) == (True, "192.0.2.9")
    with world.use.database.reading() as session:
        assert token_uses.of(session, []) == {}


def test_it_is_noted_after_the_answer(sqlite_world: World) -> None:
    """Whoever asks has the whole answer before anything is written."""
    answer = sqlite_world.api("GET", "/me", "cleared")
    assert answer.json["person"]
    assert used(sqlite_world) is None
    answer.close()
    assert used(sqlite_world) is not None


@pytest.mark.parametrize("token", ["expired", "no token at all"])
def test_a_token_that_no_longer_works_is_not_in_use(sqlite_world: World, token: str) -> None:
    """Its last use is the last one that was answered."""
    assert call(sqlite_world, token) == 401
    with sqlite_world.use.database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM token_uses")) == 0


def test_the_newest_of_several_processes_stays(world: World) -> None:
    """One whose clock is behind, or that was held up, does not turn it back."""
    caller = world.caller("cleared")
    later = world.clock() + timedelta(minutes=10)
    for at in (later, later - timedelta(minutes=5)):
        use = Resources(world.settings, lambda at=at: at)  # type: ignore[misc]
        token_uses.note(use, caller)
        use.close()
    assert used(world) == (later, caller.address)


def lock(world: World) -> Callable[[], object]:
    """Keep everybody from writing."""
    blocker = sqlite3.connect(world.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    return blocker.close


def drop(world: World) -> Callable[[], object]:
    with world.use.database.transaction() as session:
        session.execute(text("DROP TABLE token_uses"))
    return lambda: None


@pytest.mark.parametrize("fault", [lock, drop])
def test_what_goes_wrong_is_only_told(sqlite_world: World, fault: Callable[[World], Callable[[], object]]) -> None:
    """The request was answered; the database is not asked again at the next one."""
    end = fault(sqlite_world)
    assert call(sqlite_world) == 200
    assert not token_uses.is_due(sqlite_world.use, sqlite_world.caller("cleared"))
    end()
