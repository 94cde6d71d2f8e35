"""`stage` and `model`: add, alias, announce, list, show."""

from tests.cli.operator import Operator
from tests.world import World


def test_a_stage_goes_up_its_ladder(operator: Operator, sqlite_world: World) -> None:
    """A model, a stage, an alias and a move: each shows in what the API then says."""
    operator("stage", "add-model", "tiny", "--title", "Tiny", by="admin")
    operator("stage", "add", "tiny/1B", "--tier", "research", "--parameters", 10**9, by="admin")
    operator("stage", "alias", "tiny/1B", "1000M", by="admin")
    assert sqlite_world.api("GET", "/stages/tiny/1B", "cleared").status_code == 404
    sqlite_world.move("tiny/1B", "partners")
    assert sqlite_world.api("GET", "/stages/tiny/1000M", "cleared").json["state"] == "partners"


def test_announcing_shows_a_planned_stage_by_its_plan(operator: Operator) -> None:
    """An announced stage is in a partner's list with its plan; a hidden one is not."""
    operator("stage", "announce", "gpt-2/1558M", "--announced", "--plan", "Perhaps in spring.", by="admin")
    plans = {row["stage"]: row["plan"] for row in operator("stage", "list", "--json", by="cleared").body}
    assert plans["gpt-2/1558M"] == "Perhaps in spring."
    operator("stage", "announce", "gpt-2/1558M", "--not-announced", by="admin")
    assert "gpt-2/1558M" not in {row["stage"] for row in operator("stage", "list", "--json", by="cleared").body}


def test_a_stage_is_shown_whole(operator: Operator, sqlite_world: World) -> None:
    """State, requirements, other names and the `main` checkpoint, in lines for people and as an object for scripts."""
    operator("hold", "place", "gpt-2/774M", "--reason", "x", by="admin")
    body = operator("stage", "show", "gpt-2/762M", "--json", by="admin").body
    main = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints/main").json["id"]
    assert (body["stage"], body["state"], body["held"]) == ("gpt-2/774M", "partners", True)
    assert (body["tier"], body["aliases"], body["may_download"]) == ("research", ["762M"], False)
    assert "hold" in body["refusal"]
    assert operator("stage", "show", "mini-gpt/base", "--json", by="cleared").body["main"] == main
    lines = operator("stage", "show", "gpt-2/774M", by="admin").out.splitlines()
    assert ["held", "yes"] in [line.split() for line in lines]


def test_a_stage_shows_a_partner_no_more_than_the_portal(operator: Operator) -> None:
    """Without clearance no checkpoint is named; of a stage that is not announced there is nothing at all."""
    assert operator("stage", "show", "mini-gpt/large", "--json", by="cleared").body["main"] is None
    operator("stage", "announce", "gpt-2/1558M", "--not-announced", by="admin")
    assert "does not exist" in operator("stage", "show", "gpt-2/1558M", by="cleared", code=1).line


def test_the_list_says_yes_and_no(operator: Operator) -> None:
    """People read words, scripts get booleans."""
    assert "False" not in operator("stage", "list", by="admin").out
    assert {row["held"] for row in operator("stage", "list", "--json", by="admin").body} == {False}


def test_a_model_is_shown_with_its_stages(operator: Operator) -> None:
    """Staff also see a model that has no stage yet; a partner sees what it may know of."""
    operator("stage", "add-model", "tiny", "--title", "Tiny", by="admin")
    assert operator("model", "show", "tiny", "--json", by="admin").body["stages"] == []
    assert operator("model", "show", "mini-gpt", "--json", by="cleared").body["stages"] == ["base", "large"]
    assert "There is no model tiny" in operator("model", "show", "tiny", by="cleared", code=1).line
    models = {row["model"]: row["stages"] for row in operator("model", "list", "--json", by="admin").body}
    assert models == {"gpt-2": 4, "mini-gpt": 2, "tiny": 0}
