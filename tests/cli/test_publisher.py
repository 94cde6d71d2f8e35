"""The process that publishes uploads: what keeps it from starting, and that it goes on after a failure."""

import pytest

from server.cli import publisher
from server.domain.publish import receiving
from server.settings import FILE_NAME
from server.storage.objects import ObjectStoreUnavailable
from tests.cli.operator import Operator
from tests.world import World


def test_without_a_key_for_uploads_there_is_nothing_to_do(sqlite_world: World, operator: Operator) -> None:
    """One line says which setting is missing."""
    path = sqlite_world.folder / FILE_NAME
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("uploads_key_file")))
    assert "uploads_key_file" in operator("publisher", code=1).line


def test_a_store_that_is_away_is_asked_again_later(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that was done is followed by more at once; where there is none, a second later."""

    def away(_use: object) -> bool:
        raise ObjectStoreUnavailable("the store is away")

    assert publisher._step(sqlite_world.use) == receiving.LOOK_EVERY_SECONDS
    monkeypatch.setattr(receiving, "publish_next", lambda _use: True)
    assert publisher._step(sqlite_world.use) == 0
    monkeypatch.setattr(receiving, "publish_next", away)
    assert publisher._step(sqlite_world.use) == publisher.AFTER_AN_ERROR_SECONDS
