"""Durability: the fault tests have what other tests do without, or they would prove nothing."""

from tests.postgres import NOT_DURABLE, PostgreSQL
from tests.world import World


def settings(postgres: PostgreSQL) -> set[str]:
    return {postgres.run(f"SHOW {name}")[0][0] for name in NOT_DURABLE}


def test_a_server_that_is_killed_here_keeps_what_it_acknowledged(postgres: PostgreSQL) -> None:
    """Every setting that makes other tests quick is back to what a real server has, also after a crash."""
    assert settings(postgres) == {"on"}
    postgres.kill()
    postgres.start_again()
    assert settings(postgres) == {"on"}


def test_a_world_on_postgresql_has_it_too(world: World) -> None:
    """Whichever way a test comes to its database; SQLite always syncs (server/storage/database.py)."""
    if world.kind == "postgresql":
        with world.use.database.reading() as session:
            connection = session.connection().exec_driver_sql
            assert {connection(f"SHOW {name}").scalar() for name in NOT_DURABLE} == {"on"}
