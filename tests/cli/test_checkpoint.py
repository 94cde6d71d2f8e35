"""`checkpoint set-main` at the command line; the rule is tested with the domain."""

from tests.cli.operator import Operator
from tests.world import World

BASE = "mini-gpt/base"


def test_an_older_checkpoint_becomes_main_and_the_sentence_says_which_was(
    operator: Operator, sqlite_world: World
) -> None:
    """A publisher may not once the stage is open; an admin may, and the API's `main` follows."""
    newer, older = (
        one["id"] for one in sqlite_world.api("GET", f"/stages/{BASE}/checkpoints", "publisher").json["items"]
    )
    refused = operator("checkpoint", "set-main", BASE, older, by="publisher", code=1)
    assert "Your role (publisher) does not include" in refused.line
    done = operator("checkpoint", "set-main", BASE, older, by="admin")
    assert done.out == f"The `main` of {BASE} is now {older}; it was {newer} before.\n"
    assert sqlite_world.api("GET", f"/stages/{BASE}/checkpoints/main", "publisher").json["id"] == older
    back = operator("checkpoint", "set-main", BASE, newer, "--json", by="admin")
    assert back.body == {"stage": BASE, "id": newer, "before": older}
