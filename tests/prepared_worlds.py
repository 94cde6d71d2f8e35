"""Worlds in which something has happened already: it happens once a module and database, and each test has a copy."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.templates import Template
from tests.world import World, copied_world


class PreparedWorlds:
    """act: what happens in each. made: what it returned, by database."""

    def __init__(self, request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> None:
        self.act: Callable[[World], Any] = lambda _: None
        self.made: dict[str, Any] = {}
        self._request = request
        self._factory = factory
        self._templates: dict[str, Template] = {}
        self._worlds: list[Iterator[World]] = []

    def copied(self, request: pytest.FixtureRequest, folder: Path, kind: str) -> Iterator[World]:
        """A copy for one test, on one database."""
        if kind not in self._templates:
            self._templates[kind] = self._prepare(kind)
        yield from copied_world(request, folder, kind, self._templates[kind])

    def _prepare(self, kind: str) -> Template:
        worlds = copied_world(self._request, self._factory.mktemp(f"prepared-{kind}"), kind)
        self._worlds.append(worlds)
        world = next(worlds)
        self.made[kind] = self.act(world)
        world.check()
        last = world.newest_entry()
        world.close()  # a database that is in use is not copied
        return replace(
            world.template, folder=world.folder, settings=world.settings, example=world.example, last_entry=last
        )

    def close(self) -> None:
        for worlds in self._worlds:
            next(worlds, None)


@pytest.fixture(scope="module")
def prepared_worlds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PreparedWorlds]:
    made = PreparedWorlds(request, tmp_path_factory)
    yield made
    made.close()
