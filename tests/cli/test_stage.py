"""`stage` and `model`: add, edit, alias, list, show."""

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


def test_editing_changes_what_is_named_and_nothing_else(operator: Operator) -> None:
    """Its window and its note, each for itself; without any option nothing is done, and said."""
    name = "gpt-2/1558M"
    operator("stage", "edit", name, "--planned", "2031-11..2032-01", by="admin")
    body = operator(
        "stage", "edit", "gpt-2/1542M", "--note", "Perhaps.", "--agreement", "none", "--json", by="admin"
    ).body
    assert body == {
        "stage": name, "announced": True, "planned": "2031-11..2032-01", "note": "Perhaps.", "ordinal": 4,
        "tier": "research", "agreement": None, "reports_at_least": 0, "proposal": None,
    }  # fmt: skip
    plans = {row["stage"]: row["plan"] for row in operator("stage", "list", "--json", by="cleared").body}
    assert plans[name] == "Planned for November 2031 to January 2032. Perhaps."
    operator("stage", "edit", name, "--planned", "undecided", by="admin")
    shown = operator("stage", "show", name, "--json", by="admin").body
    assert (shown["planned"], shown["note"]) == ("undecided", "Perhaps.")
    assert "at least one option" in operator("stage", "edit", name, by="admin", code=2).err
    assert "is after" in operator("stage", "edit", name, "--planned", "2032-01..2031-12", by="admin", code=2).err


def test_announcing_shows_a_planned_stage_and_can_be_taken_back(operator: Operator) -> None:
    """An announced stage is in a partner's list; a hidden one is not."""
    operator("stage", "edit", "gpt-2/1558M", "--not-announced", by="admin")
    assert "gpt-2/1558M" not in {row["stage"] for row in operator("stage", "list", "--json", by="cleared").body}
    operator("stage", "edit", "gpt-2/1558M", "--announced", by="admin")
    assert "gpt-2/1558M" in {row["stage"] for row in operator("stage", "list", "--json", by="cleared").body}


def test_the_tier_of_a_stage_that_partners_have_is_fixed(operator: Operator) -> None:
    """The line says why, and what can be done."""
    line = operator("stage", "edit", "gpt-2/774M", "--tier", "registered", by="admin", code=1).line
    assert "its tier cannot be changed" in line
    assert "new version of its agreement" in line


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
    operator("stage", "edit", "gpt-2/1558M", "--not-announced", by="admin")
    assert "does not exist" in operator("stage", "show", "gpt-2/1558M", by="cleared", code=1).line


def test_a_command_says_what_a_stage_is_called_today(operator: Operator) -> None:
    """On standard error, so that scripts read what they always do; nothing is said of a name that is today's."""
    says = "Note: gpt-2/762M is now called gpt-2/774M.\n"
    for words in (("stage", "show"), ("decision", "rehearse", "--to", "public"), ("hold", "place", "--reason", "x"),
                  ("hold", "propose-lift", "--reason", "x")):  # fmt: skip
        assert operator(*words, "gpt-2/762M", "--json", by="admin").err == says
        assert operator("stage", "show", "gpt-2/774M", by="admin").err == ""
    assert operator("stage", "show", "gpt-2/762M", by="cleared").err == says
    operator("stage", "edit", "gpt-2/1558M", "--not-announced", by="admin")
    assert "1558M" not in operator("stage", "show", "gpt-2/1542M", by="cleared", code=1).err


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


def test_fewer_reports_are_proposed(operator: Operator) -> None:
    """What else was named is changed; both sentences say which is which, and a script gets the proposal."""
    stage = "gpt-2/774M"
    operator("stage", "edit", stage, "--reports-at-least", "3", by="admin")
    done = operator("stage", "edit", stage, "--reports-at-least", "1", "--note", "Soon.", by="admin")
    assert done.out.splitlines() == [
        f"Changed {stage}: note.",
        f"{stage} waits for 3 reports as before. Another admin must approve fewer: `proposal approve 1`.",
    ]
    operator("proposal", "approve", 1, by="admin2")
    operator("stage", "edit", stage, "--reports-at-least", "2", by="admin")
    body = operator("stage", "edit", stage, "--reports-at-least", "0", "--json", by="admin").body
    assert (body["reports_at_least"], body["proposal"]) == (2, 2)
