"""One world for many cases that change nothing: a change is refused where it is tried, so none sees another's."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from tests.world import World, copied_world

TRACES = {"refusals", "token_uses"}  # what a request leaves behind whether or not it does something


@pytest.fixture(scope="module")
def module_world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world on SQLite whose tables nobody can change, but for the traces of requests."""
    for world in copied_world(request, tmp_path_factory.mktemp("shared"), "sqlite"):
        _close(world.settings.database_url.removeprefix("sqlite:///"))
        yield world


@pytest.fixture
def shared_world(module_world: World) -> Iterator[World]:
    """The same, for a test that leaves this process as it was, too."""
    settings, urls = module_world.use.settings, len(module_world.signed_urls)
    yield module_world
    assert module_world.use.settings is settings
    assert module_world.clock.offset == timedelta(0)
    assert len(module_world.signed_urls) == urls


def _close(path: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table in TRACES or table.startswith("sqlite_"):
                continue
            for act in ("INSERT", "UPDATE", "DELETE"):
                connection.execute(
                    f'CREATE TRIGGER "shared_{table}_{act}" BEFORE {act} ON "{table}" '
                    f"BEGIN SELECT RAISE(ABORT, 'this world is shared: {act} of {table}'); END"
                )
