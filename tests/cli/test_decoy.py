"""`decoy` at the command line; what it does is tested with the domain."""

from tests.cli.operator import Operator
from tests.world import World

STAGE = "gpt-2/774M"


def test_a_decoy_is_placed_listed_and_removed(operator: Operator, sqlite_world: World) -> None:
    """Each with a sentence or an object; the list keeps what was removed, and an auditor may see it."""
    placed = operator("decoy", "place", STAGE, "--size", 1, "--json", by="admin").body
    assert placed["id"] == 1
    assert placed["stage"] == STAGE
    assert placed["object_key"].startswith(f"checkpoints/{STAGE}/")
    assert 700_000 < placed["size_bytes"] <= 1 << 20
    second = operator("decoy", "place", STAGE, "--size", 1, by="admin").out
    assert second.startswith("Decoy 2 is placed, ")
    assert f": checkpoints/{STAGE}/" in second
    removed = operator("decoy", "remove", 1, by="admin")
    assert removed.out == "Decoy 1 is removed. Requests for it still raise alarms.\n"
    (first, other) = operator("decoy", "list", "--json", by="auditor").body
    assert first["object_key"] == placed["object_key"]
    assert first["placed_by"] == first["removed_by"] == sqlite_world.admin.person
    assert (other["id"], other["removed_at"]) == (2, None)
    assert operator("decoy", "remove", 1, "--json", by="admin").body == {"id": 1, "removed_at": first["removed_at"]}
    assert "A decoy has 1 to 15 MiB." in operator("decoy", "place", STAGE, "--size", 16, by="admin", code=1).line
    assert "There is no decoy 9." in operator("decoy", "remove", 9, by="admin", code=1).line
