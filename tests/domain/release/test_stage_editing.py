"""Editing a stage: one entry for what is different, and nothing that would open or close it once it is released."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.domain.access import rule
from server.domain.audit import verifying
from server.domain.errors import InvalidRequest, NotFound, NotPossible, Refused
from server.domain.operation import carrying_out
from server.domain.release import stage_editing, stages
from server.domain.release.plans import Window
from server.domain.release.stages import StageState
from tests import tampering
from tests.world import World, cases

NAME = "gpt-2/1558M"
EDITED: dict[str, tuple[Any, Any, Any]] = {  # what: as it is sent, and in the entry before and after
    "ordinal": (9, 4, 9),
    "tier": ("partner", "research", "partner"),
    "agreement": (None, "model-sharing", None),
    "announced": (False, True, False),
    "planned": (Window("2026-11", "2027-01"), "undecided", "2026-11..2027-01"),
    "note": (" Later. ", "In a few months; findings from partners could change this.", "Later."),
}


@cases("what", EDITED)
def test_an_edit_is_one_entry_of_what_is_different(world: World, what: str) -> None:
    """With what was before; the second time nothing is, so nothing is written; the tables say what the log says."""
    sent, before, after = EDITED[what]
    for _ in range(2):
        stage_editing.edit(world.use, world.admin, NAME, **{what: sent})
    (record,) = world.records("stage.edit")
    assert (record["stage"], record["before"], record["after"]) == (NAME, {what: before}, {what: after})
    assert world.entries("stage.edit")[0].subject == NAME


def test_an_edit_by_alias_is_recorded_under_the_stage_s_own_name(sqlite_world: World) -> None:
    """The log speaks of one stage by one name."""
    stage_editing.edit(sqlite_world.use, sqlite_world.admin, "gpt-2/1542M", note="Later.")
    assert sqlite_world.records("stage.edit")[0]["stage"] == NAME


@pytest.mark.parametrize("state", [StageState.PARTNERS, StageState.PUBLIC, StageState.WITHDRAWN])
def test_what_opens_a_stage_is_fixed_once_it_is_released(sqlite_world: World, state: StageState) -> None:
    """Tier, agreement and position stay; what is said of it may change, and the same value is no change."""
    world, edit = sqlite_world, stage_editing.edit
    world.move(NAME, state)
    for what in ("ordinal", "tier", "agreement"):
        with pytest.raises(NotPossible, match=f"its {what} cannot be changed"):
            edit(world.use, world.admin, NAME, **{what: EDITED[what][0]})
    edit(world.use, world.admin, NAME, planned=Window("2026-11", "2026-11"), note="Known.", tier="research", ordinal=4)
    assert world.records("stage.edit")[0]["after"] == {"planned": "2026-11..2026-11", "note": "Known."}


BAD: list[tuple[dict[str, Any], type[Refused]]] = [
    ({"ordinal": 1}, NotPossible), ({"ordinal": 0}, InvalidRequest), ({"ordinal": 2**31}, InvalidRequest),
    ({"tier": "royal"}, NotFound), ({"agreement": "nothing"}, NotFound), ({"note": "x" * 501}, InvalidRequest),
]  # fmt: skip


@cases(("changes", "refusal"), BAD)
def test_an_edit_that_makes_no_sense_changes_nothing(world: World, changes: Any, refusal: type[Refused]) -> None:
    """Not even the part of it that does."""
    with pytest.raises(refusal):
        stage_editing.edit(world.use, world.admin, NAME, announced=False, **changes)
    assert world.entries("stage.edit") == []
    with world.use.database.reading() as session:
        assert stages.get(session, NAME).announced


def test_hiding_a_plan_hides_the_stage(world: World) -> None:
    """For whoever is not of the lab, it is then not there."""
    with world.use.database.reading() as session:
        assert rule.require_known(session, world.use, world.person("cleared"), NAME).note is not None
    stage_editing.edit(world.use, world.admin, NAME, announced=False)
    with world.use.database.reading() as session, pytest.raises(NotFound):
        rule.require_known(session, world.use, world.person("cleared"), NAME)


def test_two_who_want_one_place_at_once_do_not_both_get_it(world: World) -> None:
    """One is told that it is taken."""
    for name in ("a", "b"):
        stages.add(world.use, world.admin, f"mini-gpt/{name}", tier="research")

    def edit(name: str) -> bool:
        try:
            stage_editing.edit(world.use, world.admin, f"mini-gpt/{name}", ordinal=9)
        except NotPossible:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(edit, ("a", "b"))) == [False, True]


OPEN = "gpt-2/774M"
ALONE = "it takes two people, and names no proposal that a second one approved"


def minimum(world: World, name: str = OPEN) -> int:
    with world.use.database.reading() as session:
        return stages.get(session, name).reports_at_least


def lowered(world: World, to: int = 1, **more: Any) -> int:
    """The proposal to wait for fewer reports than the three that the stage waits for."""
    assert stage_editing.edit(world.use, world.admin, OPEN, reports_at_least=3).waits is None
    waits = stage_editing.edit(world.use, world.admin, OPEN, reports_at_least=to, **more).waits
    assert waits is not None
    return waits.id


def found(world: World) -> list[tuple[str, str]]:
    world.seal()
    told = verifying.verify(world.use, tables=True)
    return [(fault.row, fault.sentence) for result in told for fault in result.faults]


def test_to_wait_for_fewer_reports_takes_two(world: World) -> None:
    """More of them are one admin's to ask for; what else was edited along is different immediately."""
    number = lowered(world, note="Soon.")
    assert minimum(world) == 3
    assert world.records("stage.edit")[-1]["after"] == {"note": "Soon."}
    with pytest.raises(NotPossible, match="another admin must approve"):
        carrying_out.approve(world.use, world.admin, number)
    with pytest.raises(NotPossible, match="still waiting"):
        stage_editing.edit(world.use, world.admin2, OPEN, reports_at_least=0)
    carrying_out.approve(world.use, world.admin2, number)
    assert minimum(world) == 1
    record = world.records("stage.edit")[-1]
    assert (record["before"], record["after"]) == ({"reports_at_least": 3}, {"reports_at_least": 1})
    assert record["proposal"] == number
    assert found(world) == []


def test_fewer_reports_that_were_rejected_change_nothing(world: World) -> None:
    """Nor does an edit of the rest by somebody who sees the old number."""
    carrying_out.reject(world.use, world.admin2, lowered(world))
    assert stage_editing.edit(world.use, world.admin2, OPEN, reports_at_least=3, note="Later.").waits is None
    assert minimum(world) == 3
    assert found(world) == []


def planted(world: World, **more: object) -> str:
    """An entry by which the stage waits for no report, past the rule; returns its name."""
    said = {"stage": OPEN, "before": {"reports_at_least": 3}, "after": {"reports_at_least": 0}, **more}
    number = world.plant("stage.edit", {"actor": world.admin.as_record(), **said})
    tampering.run(world.settings.database_url, "UPDATE stages SET reports_at_least = 0 WHERE name = '774M'")
    world.seal()
    return world.name_of(number)


@cases(
    ("approved", "says"),
    [(None, ALONE), (False, ALONE), (True, "it does something else than was proposed")],
    ids=["no proposal", "one that nobody approved", "one of another number"],
)
def test_a_minimum_that_one_person_lowered_is_named(world: World, approved: bool | None, says: str) -> None:
    """Whatever it names."""
    number = lowered(world)
    if approved:
        told = world.records("proposal.create")[-1] | {"actor": world.admin2.as_record()}
        world.plant("proposal.approve", {name: told[name] for name in told if name not in {"kind", "time"}})
    row = planted(world, **({} if approved is None else {"proposal": number}))
    assert [sentence for where, sentence in found(world) if where == row] == [says]
