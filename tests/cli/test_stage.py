"""`stage`: add a model and stages, alias, move, announce, list."""

from tests.cli.operator import Operator
from tests.world import World


def test_a_stage_goes_up_its_ladder(operator: Operator, sqlite_world: World) -> None:
    """A model, a stage, an alias and a move: each shows in what the API then says."""
    operator("stage", "add-model", "tiny", "--title", "Tiny", by="admin")
    operator("stage", "add", "tiny/1B", "--tier", "research", "--parameters", 10**9, by="admin")
    operator("stage", "alias", "tiny/1B", "1000M", by="admin")
    assert sqlite_world.api("GET", "/stages/tiny/1B", "cleared").status_code == 404
    operator("stage", "move", "tiny/1B", "partners", "--rationale", "Ready.", by="admin")
    assert sqlite_world.api("GET", "/stages/tiny/1000M", "cleared").json["state"] == "partners"


def test_announcing_shows_a_planned_stage_by_its_plan(operator: Operator) -> None:
    """An announced stage is in a partner's list with its plan; a hidden one is not."""
    operator("stage", "announce", "gpt-2/1558M", "--announced", "--plan", "Perhaps in spring.", by="admin")
    plans = {row["stage"]: row["plan"] for row in operator("stage", "list", "--json", by="cleared").body}
    assert plans["gpt-2/1558M"] == "Perhaps in spring."
    operator("stage", "announce", "gpt-2/1558M", "--not-announced", by="admin")
    assert "gpt-2/1558M" not in {row["stage"] for row in operator("stage", "list", "--json", by="cleared").body}


def test_there_is_no_way_down_the_ladder(operator: Operator) -> None:
    """What is public cannot be taken back to partners; the line names what can be done."""
    line = operator("stage", "move", "gpt-2/124M", "partners", "--rationale", "Oh.", by="admin", code=1).line
    assert "place a hold" in line
