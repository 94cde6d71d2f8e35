"""Filters: a name as it is shown finds what it names, and a name of nothing is said to be one."""

import pytest

from server.domain.audit.filters import LookUp
from server.domain.audit.log_entries import EntryFilter
from server.domain.errors import NotFound
from server.domain.release import stages
from tests.world import World, cases


def looked_up(world: World, name: str, field: str, text: str) -> str | None:
    with world.use.database.reading() as session:
        return LookUp(session, world.use, world.caller(name)).value(field, text)


@cases(
    ("field", "text", "value"),
    [
        ("kind", "Download issued", "download"),
        ("kind", "clearance approved", "clearance.approve"),
        ("kind", "clearance.approve", "clearance.approve"),
        ("code", "Ghost read", "ghost_read"),
        ("stage", "774M", "gpt-2/774M"),
        ("stage", "gpt-2/774m", "gpt-2/774M"),
        ("stage", "762M", "gpt-2/774M"),
        ("stage", "gpt-2/762M", "gpt-2/774M"),
        ("organization", "Aurora Institute", "aurora-institute"),
        ("organization", "aurora-institute", "aurora-institute"),
        ("person", "Owner@Aurora-Institute.example", "owner@aurora-institute.example"),
    ],
)
def test_a_name_is_found_as_it_is_shown(world: World, field: str, text: str, value: str) -> None:
    """In words or as programs write it, in any case; by staff and by the partner whose it is."""
    assert looked_up(world, "auditor", field, text) == value
    assert looked_up(world, "cleared", field, text) == value


@cases(
    ("field", "text", "said"),
    [
        ("kind", "Downloads issued", "There is no kind of entry Downloads issued. Did you mean Download issued?"),
        ("kind", "xyzzy", "There is no kind of entry xyzzy."),
        ("code", "ghost", "There is no alarm ghost. Did you mean ghost_read?"),
        ("stage", "775M", "There is no stage 775M. Did you mean 774M?"),
        ("organization", "Aurora", "There is no organization Aurora. Did you mean aurora-institute?"),
        ("person", "owner@aurora.example", "Did you mean owner@aurora-institute.example?"),
    ],
)
def test_what_names_nothing_is_an_error_with_a_suggestion(world: World, field: str, text: str, said: str) -> None:
    """Never an empty answer, which would read as "nothing of that happened"."""
    with pytest.raises(NotFound, match=said.replace("?", r"\?")):
        looked_up(world, "auditor", field, text)


def test_a_name_of_several_things_names_them(sqlite_world: World) -> None:
    """None of them is guessed."""
    stages.add(sqlite_world.use, sqlite_world.admin, "mini-gpt/774M", tier="research")
    with pytest.raises(NotFound, match="774M could be gpt-2/774M or mini-gpt/774M") as refused:
        looked_up(sqlite_world, "auditor", "stage", "774M")
    assert refused.value.next_step == "Write one of them."


def test_a_partner_is_told_of_nothing_that_is_not_theirs(sqlite_world: World) -> None:
    """Neither found nor suggested: another organization, its people, a stage that is not announced."""
    for field, text in (
        ("organization", "birch-university"), ("organization", "Birch University"),
        ("person", "owner@birch-university.example"), ("stage", "hidden"), ("stage", "gpt-2/hidden"),
    ):  # fmt: skip
        if field == "stage" and "/" in text:
            stages.add(sqlite_world.use, sqlite_world.admin, text, tier="research")
            assert looked_up(sqlite_world, "auditor", "stage", "hidden") == "gpt-2/hidden"
        with pytest.raises(NotFound) as refused:
            looked_up(sqlite_world, "cleared", field, text)
        assert refused.value.detail.count(text) == 1
        assert "birch" not in refused.value.detail.replace(text, "").lower()


def test_the_lab_s_people_are_found_by_whom_they_acted_on(world: World) -> None:
    """A partner sees who approved its clearance, and can ask what else they did to it."""
    admin = world.example.people["admin"]["email"]
    assert looked_up(world, "cleared", "person", admin) == admin
    with pytest.raises(NotFound):
        looked_up(world, "cleared", "person", world.example.people["publisher"]["email"])


def test_a_whole_filter_is_looked_up(sqlite_world: World) -> None:
    """Each of its names; times stay as they are."""
    asked = EntryFilter("Aurora Institute", None, "774M", "Download issued", None, since=sqlite_world.clock())
    with sqlite_world.use.database.reading() as session:
        found = LookUp(session, sqlite_world.use, sqlite_world.caller("auditor")).all_of(asked)
    assert found == EntryFilter("aurora-institute", None, "gpt-2/774M", "download", None, since=asked.since)
