"""Stages: names that collide with nothing, and plans that are shown or not."""

from typing import Any

import pytest

from server.domain.access import rule
from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, Refused
from server.domain.release import stage_editing, stages
from server.domain.release.stages import FIRST_SEGMENTS, STAGE_WORDS, Stage, StageState
from tests.world import World

BAD_NAMES = [
    "", " ", "a b", "a/b", "../a", "..", ".hidden", "-a", "a-", "a.", "_a", "a--b", "a..b", "a.git", "é", "a\n", "a\0",
    "x" * 97,
]  # fmt: skip
GOOD_NAMES = ["x", "X1", "1.5B", "a_b-c.d", "x" * 96, "git", "a.gitx"]


def add(world: World, full_name: str, **more: Any) -> Stage:
    return stages.add(world.use, world.admin, full_name, tier="research", **more)


def found(world: World, full_name: str) -> Stage:
    with world.use.database.reading() as session:
        return stages.get(session, full_name)


def test_a_model_s_name_is_an_address_and_no_other_address(sqlite_world: World) -> None:
    """Odd names, the portal's first segments in any case, and the word for a hold on all are refused."""
    admin = sqlite_world.admin
    for name in [*BAD_NAMES, *FIRST_SEGMENTS, "Admin", "API", "everything", "doctor"]:
        with pytest.raises(InvalidRequest):
            stages.add_model(sqlite_world.use, admin, name, "A title")


def test_plain_names_are_good_for_models_and_stages(sqlite_world: World) -> None:
    """Letters, digits, '.', '_' and '-', as the Hugging Face client takes them."""
    for name in GOOD_NAMES:
        stages.add_model(sqlite_world.use, sqlite_world.admin, name, "A title")
        assert add(sqlite_world, f"{name}/{name}").full_name == f"{name}/{name}"


def test_a_stage_s_name_is_no_word_of_the_hub_s_addresses(sqlite_world: World) -> None:
    """`resolve`, `tree` and their like stand after a stage's name; as one, or as an alias, they would be read wrong."""
    admin = sqlite_world.admin
    for name in [*BAD_NAMES, *STAGE_WORDS, "Resolve"]:
        with pytest.raises((InvalidRequest, NotFound)):
            stages.add(sqlite_world.use, admin, f"gpt-2/{name}", tier="research")
        with pytest.raises(InvalidRequest):
            stages.add_alias(sqlite_world.use, admin, "gpt-2/774M", name)


def test_every_route_of_the_server_is_among_the_names_that_are_refused(sqlite_world: World) -> None:
    """A model can never be reached by a path that means something else."""
    app = sqlite_world.client.application
    first = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    assert {part for part in first if part and not part.startswith("<")} <= FIRST_SEGMENTS


@pytest.mark.parametrize("name", ["gpt-2", "GPT-2", "Gpt-2"])
def test_models_are_not_told_apart_by_case(world: World, name: str) -> None:
    """Twins by case would be one folder on many file systems."""
    with pytest.raises(NotPossible):
        stages.add_model(world.use, world.admin, name, "A title")


@pytest.mark.parametrize("name", ["774M", "774m", "762M", "762m"])
def test_stages_and_aliases_share_one_space_of_names(world: World, name: str) -> None:
    """A new stage, or alias, takes no name that finds another stage, in any case."""
    with pytest.raises(NotPossible):
        add(world, f"gpt-2/{name}")
    with pytest.raises(NotPossible):
        stages.add_alias(world.use, world.admin, "gpt-2/355M", name)
    add(world, f"mini-gpt/{name}")


def test_an_alias_finds_the_stage_of_its_own_model_only(world: World) -> None:
    """762M is a name in gpt-2 and nowhere else."""
    assert found(world, "gpt-2/762M").name == "774M"
    for name in ("mini-gpt/762M", "gpt-2/762m", "GPT-2/774M"):
        with pytest.raises(NotFound):
            found(world, name)


BAD_STAGES: list[tuple[str, dict[str, Any], type[Refused]]] = [
    ("gpt-9/1B", {}, NotFound), ("gpt-2", {}, NotFound), ("gpt-2/", {}, NotFound),
    ("gpt-2/1B", {"tier": "royal"}, NotFound), ("gpt-2/1B", {"agreement": "nothing"}, NotFound),
    ("gpt-2/1B", {"ordinal": 1}, NotPossible), ("gpt-2/1B", {"note": "x" * 501}, InvalidRequest),
    ("gpt-2/1B", {"ordinal": 0}, InvalidRequest), ("gpt-2/1B", {"ordinal": 2**31}, InvalidRequest),
    ("gpt-2/1B", {"parameters": 0}, InvalidRequest), ("gpt-2/1B", {"parameters": 2**63}, InvalidRequest),
]  # fmt: skip


def test_a_stage_that_makes_no_sense_is_refused(world: World) -> None:
    """Unknown model, tier or agreement, a place that is taken, numbers that a database cannot hold."""
    for full_name, more, code in BAD_STAGES:
        with pytest.raises(code):
            stages.add(world.use, world.admin, full_name, **({"tier": "research"} | more))


def test_a_new_stage_comes_last_on_its_ladder_and_is_planned(world: World) -> None:
    """Unless it is given a place of its own; nobody outside sees it."""
    made = add(world, "mini-gpt/next", parameters=2**53 - 1)
    assert (made.ordinal, made.state, made.announced) == (3, StageState.PLANNED, False)
    assert add(world, "mini-gpt/later", ordinal=10).ordinal == 10
    assert add(world, "mini-gpt/last").ordinal == 11
    with world.use.database.reading() as session, pytest.raises(NotFound):
        rule.require_known(session, world.use, world.person("cleared"), "mini-gpt/next")


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_change_the_ladder(sqlite_world: World, by: str) -> None:
    """A publisher puts files to a stage; which stages there are, and for whom, is for admins."""
    world, caller = sqlite_world, sqlite_world.person(by)
    acts: list[Any] = [
        lambda: stages.add_model(world.use, caller, "new", "A title"),
        lambda: stages.add(world.use, caller, "gpt-2/1B", tier="research"),
        lambda: stages.add_alias(world.use, caller, "gpt-2/774M", "800M"),
        lambda: stage_editing.edit(world.use, caller, "gpt-2/774M", announced=True),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()


@pytest.mark.parametrize("title", ["", " ", "x" * 201])
def test_a_model_has_a_title(sqlite_world: World, title: str) -> None:
    """What people read, beside the name that machines use."""
    with pytest.raises(InvalidRequest):
        stages.add_model(sqlite_world.use, sqlite_world.admin, "new", title)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gpt-2/774m", "gpt-2/774M"), ("GPT-2/774m", "gpt-2/774M"), ("gpt-2/762m", "gpt-2/762M"),
        ("gpt-2/775m", "gpt-2/775m"), ("gpt-2", "gpt-2"), ("a\0/b", "a\0/b"), ("é/774m", "é/774m"),
    ],
)  # fmt: skip
def test_a_name_is_found_whatever_its_capitals(world: World, asked: str, name: str) -> None:
    """An alias stays an alias; what is no stage stays as it was asked for."""
    with world.use.database.reading() as session:
        assert stages.spelled(session, asked) == name
