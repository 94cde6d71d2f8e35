"""`migrate`: to this version's schema."""

from server import migrations
from tests.cli.operator import Operator
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
