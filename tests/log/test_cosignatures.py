"""Cosignatures: which are kept, and which head proves an entry to most witnesses."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.audit import logs
from server.log import cosignatures, sealing
from server.log.cosignatures import Cosignature
from server.log.sealing import LogHead
from tests.world import World


def grow(world: World) -> int:
    """Another head; returns its size."""
    world.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    world.seal()
    return len(world.entries())


def keep(session: Session, world: World, size: int, witness: str, line: str = "— w AAAA\n") -> None:
    log = logs.current(session)
    row = Cosignature(log_id=log.id, size=size, witness=witness, line=line, cosigned_at=world.clock())
    cosignatures.keep(session, row)


def kept(session: Session) -> set[tuple[int, str]]:
    return {(row.size, row.witness) for row in session.scalars(select(Cosignature))}


def test_what_a_later_head_says_as_well_is_dropped(world: World) -> None:
    """A head stays while it has a witness that no later one has; so there are never more heads than witnesses."""
    sizes = [grow(world) for _ in range(3)]
    with world.use.database.transaction() as session:
        for size, witness in ((sizes[0], "a"), (sizes[0], "b"), (sizes[1], "a")):
            keep(session, world, size, witness)
        assert kept(session) == {(sizes[0], "a"), (sizes[0], "b"), (sizes[1], "a")}
        keep(session, world, sizes[2], "a")
        assert kept(session) == {(sizes[0], "a"), (sizes[0], "b"), (sizes[2], "a")}
        keep(session, world, sizes[2], "b")
        assert kept(session) == {(sizes[2], "a"), (sizes[2], "b")}


def test_what_another_witness_said_meanwhile_is_not_dropped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line under the older head was committed after this one had read what there is."""
    older, newer = grow(world), grow(world)
    read = cosignatures._by_size

    def read_before_b(session: Session, log_id: int) -> dict[int, set[str]]:
        found = read(session, log_id)
        session.add(Cosignature(log_id=log_id, size=older, witness="b", line="— w AAAA\n", cosigned_at=world.clock()))
        session.flush()
        return found

    with world.use.database.transaction() as session:
        keep(session, world, older, "a")
        monkeypatch.setattr(cosignatures, "_by_size", read_before_b)
        keep(session, world, newer, "a")
        assert kept(session) == {(newer, "a"), (older, "b")}


def test_a_witness_that_says_it_again_has_one_line(world: World) -> None:
    """The newer one stands in place of the older."""
    size = grow(world)
    with world.use.database.transaction() as session:
        keep(session, world, size, "a", "— w AAAA\n")
        world.clock.offset += timedelta(seconds=1)
        keep(session, world, size, "a", "— w BBBB\n")
        assert [row.line for row in session.scalars(select(Cosignature))] == ["— w BBBB\n"]


def test_an_entry_is_proven_by_the_head_that_most_witnesses_saw(world: World) -> None:
    """An older entry by the head of two, a newer one by that of one, and the newest by none yet."""
    sizes = [grow(world) for _ in range(3)]
    with world.use.database.transaction() as session:
        log = logs.current(session)
        for size, witness in ((sizes[0], "a"), (sizes[0], "b"), (sizes[1], "a")):
            keep(session, world, size, witness)
        found = [cosignatures.most_witnessed(session, log.id, size - 1) for size in sizes]
    assert [head and head.size for head in found] == [sizes[0], sizes[1], None]


def test_lines_stand_under_the_head_that_they_are_for(world: World) -> None:
    """In the order of the witnesses, after the log's own; and under no other head."""
    first, second = grow(world), grow(world)
    with world.use.database.transaction() as session:
        keep(session, world, second, "b", "— w BBBB\n")
        keep(session, world, second, "a", "— w AAAA\n")
        newest = sealing.newest_head(session, logs.current(session).id)
        older = session.scalars(select(LogHead).where(LogHead.size == first)).one()
        assert newest is not None
        assert cosignatures.under(session, newest).decode() == newest.note + "— w AAAA\n— w BBBB\n"
        assert cosignatures.under(session, older).decode() == older.note
