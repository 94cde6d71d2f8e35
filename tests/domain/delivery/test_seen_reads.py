"""Seen reads: which lines are new, against a plain set; and what is forgotten."""

from datetime import timedelta

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from server.domain.delivery import seen_reads
from server.domain.delivery.seen_reads import DAY_MS, KEPT_DAYS, MINUTE_MS, SeenMinute
from tests.world import World

NOW_MS = 1_800_000_000_000
LINES = st.lists(st.tuples(st.integers(0, 5), st.sampled_from([b"A", b"B", b"AB", b"BA", b"A" * 17, b"A" * 16 + b"B"])))


def take(world: World, lines: list[tuple[int, bytes]]) -> list[bool]:
    at_ms = np.array([NOW_MS + minute * MINUTE_MS for minute, _ in lines], dtype=np.int64)
    with world.use.database.transaction() as session:
        taken: list[bool] = seen_reads.take(session, at_ms, seen_reads.digests_of([n for _, n in lines])).tolist()
        return taken


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES, max_size=6))
def test_each_name_is_new_once_a_minute(sqlite_world: World, batches: list[list[tuple[int, bytes]]]) -> None:
    """As many are new as a set of minute and name says, in whatever order and batches they come."""
    with sqlite_world.use.database.transaction() as session:
        session.execute(delete(SeenMinute))
    seen: set[tuple[int, bytes]] = set()
    for batch in batches:
        new = [line for line, is_new in zip(batch, take(sqlite_world, batch), strict=True) if is_new]
        assert len(new) == len(set(new))
        assert set(new) == set(batch) - seen
        seen |= set(batch)


def test_both_databases_remember(world: World) -> None:
    """Across transactions, in many minutes at once, and those that grow."""
    lines = [(minute, f"{minute:04}{n}".encode()) for minute in range(1200) for n in range(2)]
    assert all(take(world, lines))
    assert take(world, [*lines, (7, b"late")]) == [False] * len(lines) + [True]
    assert take(world, [(7, b"late"), (8, b"late")]) == [False, True]


def test_names_have_digests_of_their_own() -> None:
    """A hundred thousand names of each store's form, and not two alike; a digest stays the same for ever."""
    names = [f"{n * 7919:016X}".encode() for n in range(100_000)] + [f"{n:032x}".encode() for n in range(100_000)]
    digests = seen_reads.digests_of(names)
    assert len(np.unique(digests)) == 200_000
    assert digests[:1].tolist() == seen_reads.digests_of([b"0" * 16]).tolist() == [16940747899336540800]
    assert seen_reads.digests_of([]).tolist() == []


def test_what_is_not_asked_for_any_more_is_forgotten(sqlite_world: World) -> None:
    """A day after the last moment at which a line of it would have been counted."""
    take(sqlite_world, [(0, b"A"), (1, b"A")])
    later = NOW_MS + KEPT_DAYS * DAY_MS
    assert seen_reads.oldest_counted_ms(later) == NOW_MS
    for after_ms, left in ((0, 2), (DAY_MS, 2), (DAY_MS + MINUTE_MS, 1), (DAY_MS + 2 * MINUTE_MS, 0)):
        with sqlite_world.use.database.transaction() as session:
            seen_reads.forget(session, later + after_ms)
            assert len(session.scalars(select(SeenMinute.minute)).all()) == left
    assert timedelta(milliseconds=DAY_MS) == timedelta(days=1)
