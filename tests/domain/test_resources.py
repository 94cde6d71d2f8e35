"""Resources: one instance's parts, each with the role and the key that it is for."""

import pytest

from server.domain.resources import Resources
from server.log.notes import Signer
from server.storage.keys import KeyFileError
from tests.world import World

SEALER, OWNER = "sqlite:////sealer.sqlite3", "sqlite:////owner.sqlite3"


def test_each_role_has_its_database(sqlite_world: World) -> None:
    """Where the settings name one; else they share. The clock goes along."""
    settings = sqlite_world.settings
    for use in (sqlite_world.use.as_sealer(), sqlite_world.use.as_owner()):
        assert use.settings.database_url == settings.database_url
    update = {"sealer_database_url": SEALER, "migration_database_url": OWNER}
    use = Resources(settings.model_copy(update=update), sqlite_world.clock)
    assert use.as_sealer().settings.database_url == SEALER
    assert use.as_owner().settings.database_url == OWNER
    assert use.as_owner().clock is sqlite_world.clock


def test_a_key_signs_for_its_own_log_only(sqlite_world: World) -> None:
    """A key file that is not the key which the log names is refused, even if its name is the same."""
    other = Signer.from_seed("localhost/downloads/2026", bytes(32))
    for signer in (sqlite_world.use.log_signer, sqlite_world.use.receipt_signer):
        with pytest.raises(KeyFileError, match="is not the key of localhost/downloads/2026"):
            signer(str(other.key))


def test_what_was_closed_opens_anew(sqlite_world: World) -> None:
    """A close lets go of the connections; the next use makes new ones."""
    before = sqlite_world.use.database
    sqlite_world.use.close()
    assert sqlite_world.use.database is not before
    assert sqlite_world.entries()
