"""Logs that are long, of entries that are nobody's act."""

from server.log import entries
from tests.world import World


def append_many(world: World, count: int) -> None:
    """Append entries of a kind that there is not, in one transaction; nothing seals them yet."""
    with world.use.database.transaction() as session:
        for number in range(count):
            entries.append(session, kind="test", at=world.clock(), record={"number": number})
