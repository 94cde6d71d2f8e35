"""Receipts, once more: the same bytes for what the log holds, and a promise about nothing else."""

import pytest

from server.domain.audit import receipts
from server.domain.downloads import issuing
from server.domain.errors import NotFound, NotPossible, NotSealedYet
from server.storage import keys
from tests import tampering
from tests.world import World


def again(world: World) -> bytes:
    """The receipt of the last download, made once more."""
    entry = world.entries("download")[-1]
    with world.use.database.reading() as session:
        return receipts.again(session, world.use, entry)


def test_a_receipt_is_the_same_to_the_byte(world: World) -> None:
    """Once its entry is sealed; until then the one given with the download is the only one."""
    download = issuing.issue(world.use, world.caller("cleared"), world.order())
    with pytest.raises(NotSealedYet):
        again(world)
    world.seal()
    assert again(world) == download.receipt


def test_nothing_is_promised_about_an_entry_that_was_changed(world: World) -> None:
    """Else whoever writes to the database has a signature for whatever they wrote."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    entry = world.entries("download")[-1]
    tampering.flip(world.settings.database_url, "log_entries", "commitment", f"id = {entry.id}", at=0)
    world.tampered = True
    with pytest.raises(NotPossible):
        again(world)


def test_without_its_key_there_is_no_receipt(sqlite_world: World) -> None:
    """A key that was replaced signs for its own log only."""
    issuing.issue(sqlite_world.use, sqlite_world.caller("cleared"), sqlite_world.order())
    sqlite_world.seal()
    sqlite_world.use.close()
    other = sqlite_world.folder / "other-key"
    keys.write_note_key(other)
    settings = sqlite_world.settings.model_copy(update={"receipt_key_file": other})
    use = type(sqlite_world.use)(settings, sqlite_world.clock)
    entry = sqlite_world.entries("download")[-1]
    with use.database.reading() as session, pytest.raises(NotFound):
        receipts.again(session, use, entry)
    use.close()
