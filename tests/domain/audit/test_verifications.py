"""Verifications: one at a time, told as they go, taken up again when a worker dies, and ended in one way or another."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from server.domain.audit import verifications
from server.domain.audit.verifications import ATTEMPTS_AT_MOST, SILENT_FOR, Verification
from server.domain.errors import NotPermitted, NotPossible
from server.domain.paging import Slice
from tests import tampering
from tests.world import World


def newest(world: World) -> Verification:
    with world.use.database.reading() as session:
        return verifications.listed(session, world.person("auditor"), Slice(1)).items[0]


def test_one_at_a_time(world: World) -> None:
    """A second one is refused while the first waits; once that has ended, the next may be asked for."""
    auditor = world.person("auditor")
    verifications.request(world.use, auditor)
    with pytest.raises(NotPossible):
        verifications.request(world.use, world.admin)
    world.seal()
    assert verifications.run_waiting(world.use) == "sound"
    assert verifications.run_waiting(world.use) is None
    verifications.request(world.use, world.admin)
    with pytest.raises(NotPermitted):
        verifications.request(world.use, world.person("publisher"))


def test_it_says_against_what_it_found_no_fault(sqlite_world: World) -> None:
    """The head's size is what the page names."""
    world = sqlite_world
    world.seal()
    verifications.request(world.use, world.person("auditor"))
    verifications.run_waiting(world.use)
    run = newest(world)
    assert run.result == {
        "logs": [{"origin": "localhost/downloads/2026", "size": len(world.entries()), "abandoned": False}],
        "notes": [], "unread": 0, "fault_count": 0, "faults": [],
    }  # fmt: skip
    assert (run.state, run.attempts, run.slot) == ("sound", 1, None)


def test_a_fault_is_named(sqlite_world: World) -> None:
    """An entry that was changed behind the log's back."""
    world = sqlite_world
    world.seal()
    world.tampered = True
    tampering.flip(world.settings.database_url, "log_entries", "record", "id = 5", at=-2)
    verifications.request(world.use, world.person("auditor"))
    assert verifications.run_waiting(world.use) == "faulty"
    (fault,) = newest(world).result["faults"]
    assert (fault["row"], fault["sentence"]) == ("entry 4", "its record or salt was changed")


def test_a_dead_worker_s_run_is_taken_up_again(sqlite_world: World) -> None:
    """Not while its worker may live; after three that died it counts as broken, and the next can be asked for."""
    world = sqlite_world
    asked = verifications.request(world.use, world.person("auditor"))
    for _ in range(ATTEMPTS_AT_MOST):
        assert verifications._take(world.use) == asked.id  # and dies
        assert verifications.run_waiting(world.use) is None
        world.clock.advance(SILENT_FOR)
    assert verifications.run_waiting(world.use) is None
    assert newest(world).state == "broken"
    verifications.request(world.use, world.person("auditor"))
    assert verifications._take(world.use) is not None
    world.clock.advance(SILENT_FOR)
    world.seal()
    assert verifications.run_waiting(world.use) == "sound"
    assert newest(world).attempts == 2


def test_a_worker_that_is_asked_to_end_lets_go_at_once(sqlite_world: World) -> None:
    """The next one begins without waiting, and it counts as no attempt."""
    verifications.request(sqlite_world.use, sqlite_world.person("auditor"))
    assert verifications.run_waiting(sqlite_world.use, lambda: True) is None
    run = newest(sqlite_world)
    assert (run.state, run.attempts, run.told_at) == ("running", 0, None)
    assert verifications.run_waiting(sqlite_world.use) == "sound"


def test_progress_is_written_at_most_each_second(sqlite_world: World) -> None:
    """A run over millions of entries is no flood of writes."""
    world = sqlite_world
    asked = verifications.request(world.use, world.person("auditor"))
    written = []

    def tell(teller: verifications._Teller, done: int) -> None:
        teller.tell("2026: bytes", done, 100)
        with world.use.database.reading() as session:
            written.append(session.scalar(select(Verification.entries_done).where(Verification.id == asked.id)))

    teller = verifications._Teller(world.use, asked.id, lambda: False)
    for done in range(5):
        tell(teller, done)
    world.clock.advance(timedelta(seconds=1))
    tell(teller, 60)
    assert written == [0, 0, 0, 0, 0, 60]
    assert (newest(world).phase, newest(world).entries) == ("2026: bytes", 100)


def test_once_a_day_nobody_needs_to_ask(world: World) -> None:
    """A day after the last one, and not before; and it compares the live tables, which nobody else looks at."""
    world.seal()
    assert not verifications.request_daily(world.use)  # the instance has just begun
    world.clock.offset += timedelta(days=1, minutes=1)
    assert verifications.request_daily(world.use)
    assert not verifications.request_daily(world.use)
    assert verifications.run_waiting(world.use) == "sound"
    assert newest(world).asked_by is None
    world.tampered = True
    tampering.run(world.settings.database_url, "UPDATE people SET role = 'admin' WHERE id = 3")
    world.clock.offset += timedelta(days=1)
    assert verifications.request_daily(world.use)
    assert verifications.run_waiting(world.use) == "faulty"
    (fault,) = newest(world).result["faults"]
    assert fault["sentence"] == "its role differs from the log"


def test_a_daily_one_waits_for_what_somebody_asked_for(sqlite_world: World) -> None:
    """Whoever asks has the next day's done; while one waits there is no second."""
    world = sqlite_world
    world.clock.offset += timedelta(days=2)
    verifications.request(world.use, world.person("auditor"))
    assert not verifications.request_daily(world.use)
