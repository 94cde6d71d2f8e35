"""`migrate`: to this version's schema."""

import json

from server import migrations
from server.domain.operation import nodes
from server.domain.operation.nodes import Node
from tests.cli.operator import Operator
from tests.empty_databases import difference, go_to, run
from tests.world import World


def test_migrating_twice_is_migrating_once(operator: Operator) -> None:
    """On a current database it changes nothing and names the schema."""
    for _ in range(2):
        assert operator("migrate", "--json").body == {"schema": migrations.newest()}
    operator("tier", "list", by="admin")


def test_an_empty_database_becomes_current(operator: Operator, sqlite_world: World) -> None:
    """Where there was nothing, the whole schema is made."""
    sqlite_world.tampered = True  # nothing is left of it
    (operator.folder / "weightgate.sqlite3").unlink()
    assert f"schema {migrations.newest()}" in operator("migrate").out


def test_migrating_stops_nobody_unasked(operator: Operator, sqlite_world: World) -> None:
    """Where older code runs that would not work, it is named, and nothing is changed; what has ended is in no way."""
    world, database = sqlite_world, sqlite_world.settings.database_url
    world.tampered = True  # goes back by schemas
    go_to(database, "0036")
    for process, code, seen_at in [
        ("web", "0036", world.clock()),
        ("worker", "0036", world.clock() - nodes.LIVES_FOR),
        ("publisher", migrations.newest(), world.clock()),
    ]:
        with world.use.database.transaction() as session:
            agreed = json.dumps({nodes.CODE: code})
            session.add(Node(machine=f"far:/{process}", process=process, agreed=agreed, seen_at=seen_at))
    refused = operator("migrate", code=1)
    assert "This would stop what runs with older code: web on far:/web." in refused.err
    assert "older than this code" in str(difference(database))
    assert operator("migrate", "--all-stopped").out.endswith(f"{migrations.newest()}.\n")
    operator("migrate")  # nothing to do, so nobody is in the way


def test_who_ends_is_in_no_way(operator: Operator, sqlite_world: World) -> None:
    """Whoever says so: nobody waits for the beat to grow old."""
    world = sqlite_world
    world.tampered = True
    nodes.beat(world.use, "web")
    go_to(world.settings.database_url, "0036")
    run(world.settings.database_url, """UPDATE nodes SET agreed = '{"code": "0036"}'""")
    operator("migrate", code=1)
    nodes.leave(world.use, "web")
    operator("migrate")
