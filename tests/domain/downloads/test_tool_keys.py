"""Keys for S3 tools in the form that is open, and where they lead."""

import pytest

from server.domain.downloads import tool_keys
from server.domain.errors import NoSuchCheckpoint, NotFound
from tests import s3, sessions
from tests.world import World

STAGE = "mini-gpt/base"


def test_our_own_door_has_one_bucket(sqlite_world: World) -> None:
    """Stages lie below their names; nothing is logged until a file is asked for."""
    s3.open_door(sqlite_world)
    made = tool_keys.issue(sqlite_world.use, sqlite_world.caller("cleared"), STAGE)
    assert (made.endpoint, made.bucket, made.prefix) == (f"http://{s3.HOST}", "models", f"{STAGE}/")
    assert sqlite_world.records("download") == []
    with pytest.raises(NotFound):  # a key is for the stage, with all its checkpoints
        tool_keys.issue(sqlite_world.use, sqlite_world.caller("cleared"), f"{STAGE}@{'0' * 40}")


def test_the_store_s_keys_lead_to_the_store(sqlite_world: World) -> None:
    """To the newest checkpoint, or to the one that is named."""
    world = sqlite_world
    sessions.open_door(world)
    older = world.api("GET", f"/stages/{STAGE}/checkpoints").json["items"][-1]["id"]
    for asked in (STAGE, f"{STAGE}@{older}"):
        made = tool_keys.issue(world.use, world.caller("cleared"), asked)
        assert (made.endpoint, made.bucket) == (world.settings.s3_endpoint_url, world.settings.s3_bucket)
        assert made.prefix == f"checkpoints/{STAGE}/{world.records('download')[-1]['checkpoint']}/"
    assert made.prefix == f"checkpoints/{STAGE}/{older}/"
    assert "s3cr3t" not in repr(made)
    with pytest.raises(NoSuchCheckpoint):
        tool_keys.issue(world.use, world.caller("cleared"), f"{STAGE}@{'0' * 40}")


def test_on_aws_the_address_is_the_region_s(sqlite_world: World) -> None:
    use = sqlite_world.use
    sessions.open_door(sqlite_world, s3_endpoint_url=None, s3_region="eu-central-1")
    assert tool_keys.endpoint(use) == "https://s3.eu-central-1.amazonaws.com"


def test_a_closed_door_gives_none(sqlite_world: World) -> None:
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"s3_door": "off"})
    with pytest.raises(NotFound, match="gives no keys"):
        tool_keys.issue(sqlite_world.use, sqlite_world.caller("cleared"), STAGE)
