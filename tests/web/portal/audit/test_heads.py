"""Heads: each can be copied and checked, and what cannot be seen from here is not claimed."""

from datetime import timedelta

from sqlalchemy import select

from server.domain.audit import logs, sealer
from server.log.sealing import LogHead
from tests import own_keys
from tests.own_keys import give_own_keys
from tests.plans import plans
from tests.visits import words
from tests.world import World


def test_the_newest_head_can_be_copied(sqlite_world: World) -> None:
    """As it was signed, byte for byte."""
    world = sqlite_world
    world.seal()
    with world.use.database.reading() as session:
        head = session.scalars(select(LogHead).order_by(LogHead.size.desc())).first()
    assert head is not None
    page = world.visit("auditor").get("/audit/heads")
    assert head.note.split("\n")[2] in words(page)
    assert "The log is healthy" in words(page)
    assert "No anchors are kept" in words(page)


def test_a_log_that_is_not_sealed_is_not_called_sound(sqlite_world: World) -> None:
    """The page says that nothing is issued, and why."""
    world = sqlite_world
    visit = world.visit("admin")
    assert visit.post("/audit/exports", {"format": "jsonl", "kind": "hold.place"}).status_code == 200
    world.clock.offset += timedelta(seconds=40)
    page = words(visit.get("/audit/heads"))
    assert "No downloads are issued right now." in page
    assert "has not been sealed since" in page
    assert "The log is healthy" not in page


def test_a_past_log_keeps_its_page(sqlite_world: World) -> None:
    """After a new log was opened; a log that there is not is not there."""
    world = sqlite_world
    give_own_keys(world)
    world.seal()
    own_keys.rotate(world.use, "A new year.")
    world.seal()
    visit = world.visit("auditor")
    assert "localhost/downloads/2026-2 The log is healthy" in words(visit.get("/audit/heads"))
    past = words(visit.get("/audit/heads?log=2026"))
    assert "closed" in past
    assert "The log is healthy" not in past
    assert visit.get("/audit/heads?log=1999").status_code == 404
    assert visit.get("/audit/heads?log=%00").status_code == 404


def test_what_was_anchored_is_told_as_the_worker_wrote_it(sqlite_world: World) -> None:
    """Without a bucket the worker writes nothing; what it notes is the newest."""
    world = sqlite_world
    sealer.anchor(world.use)
    with world.use.database.transaction() as session:
        assert logs.anchored(session, logs.current(session)) is None
        for size in (10, 20):
            logs.note_anchored(session, 1, size, world.use.clock())
    with world.use.database.reading() as session:
        found = logs.anchored(session, logs.current(session))
    assert found is not None
    assert found.size == 20


def test_the_list_goes_by_an_index(world: World) -> None:
    """On both databases, and on a later page."""
    world.seal()
    visit = world.visit("auditor")
    for query in ("", "?log=2026", "?cursor=5"):
        plans(world, "log_heads", lambda query=query: visit.get(f"/audit/heads{query}"))  # type: ignore[misc]
