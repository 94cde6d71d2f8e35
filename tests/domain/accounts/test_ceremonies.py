"""Ceremonies: each is for one thing, works once, for a few minutes and a few tries, and is forgotten after."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import ATTEMPTS_AT_MOST, LIFETIMES, Ceremony, Kind
from server.domain.errors import NotPossible
from tests.world import World


@pytest.mark.parametrize("kind", Kind)
def test_a_ceremony_is_for_one_thing_and_a_few_minutes(sqlite_world: World, kind: Kind) -> None:
    """Not for another, not for whoever holds another secret, and not at the moment of its end."""
    use = sqlite_world.use
    secret = ceremonies.begin(use, kind, None, b"challenge")
    with use.database.reading() as session:
        assert ceremonies.running(session, use, secret, kind).challenge == b"challenge"
        for wrong, other in ((secret, next(each for each in Kind if each != kind)), (secret[:-1], kind), (None, kind)):
            with pytest.raises(NotPossible):
                ceremonies.running(session, use, wrong, other)
    sqlite_world.clock.advance(LIFETIMES[kind])
    with use.database.reading() as session, pytest.raises(NotPossible):
        ceremonies.running(session, use, secret, kind)


def test_tries_are_counted_also_when_they_come_at_once(world: World) -> None:
    """Five, whoever sends how many in parallel."""
    secret = ceremonies.begin(world.use, Kind.SECOND_FACTOR, None, b"")

    def attempt(_: int) -> bool:
        try:
            ceremonies.attempt(world.use, secret, Kind.SECOND_FACTOR)
        except NotPossible:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(attempt, range(2 * ATTEMPTS_AT_MOST))) == ATTEMPTS_AT_MOST


def test_a_ceremony_is_finished_once(world: World) -> None:
    """Of two who looked at it while it was running, one finishes it."""
    secret = ceremonies.begin(world.use, Kind.PASSKEY, None, b"")
    with world.use.database.reading() as session:
        begun = ceremonies.running(session, world.use, secret, Kind.PASSKEY)
    with world.use.database.transaction() as session:
        ceremonies.finish(session, begun, world.clock())
    with world.use.database.transaction() as session, pytest.raises(NotPossible):
        ceremonies.finish(session, begun, world.clock())


def test_what_is_long_over_is_forgotten(sqlite_world: World) -> None:
    """After a day; younger ones stay."""
    ceremonies.begin(sqlite_world.use, Kind.PASSKEY, None, b"")
    sqlite_world.clock.advance(timedelta(days=1, seconds=1))
    ceremonies.begin(sqlite_world.use, Kind.PASSKEY, None, b"")
    ceremonies.clean(sqlite_world.use)
    with sqlite_world.use.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Ceremony)) == 1
