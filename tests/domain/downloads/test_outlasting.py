"""How long what was issued works after access ends."""

from datetime import timedelta

from server.domain.downloads import outlasting
from tests import sessions
from tests.world import World


def test_how_long_anything_works_is_said(sqlite_world: World) -> None:
    """The keys' time is told beside that of URLs, where the store makes keys."""
    made = sqlite_world.settings
    assert outlasting.sentence(made) == "URLs that were already issued work for up to 300 seconds."
    sessions.open_door(sqlite_world)
    made = sqlite_world.use.settings
    assert outlasting.seconds(made) == 3615
    assert outlasting.at_most(made) == timedelta(seconds=3615)
    assert "keys for S3 tools, which the store made, for up to 3615 seconds" in outlasting.sentence(made)
