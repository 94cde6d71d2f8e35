"""Cuts: one for each hold at a time, asked for by whoever places it or later, and ended with it."""

import pytest
from sqlalchemy import update

from server.domain.errors import NotPermitted, NotPossible
from server.domain.release import cuts, holds
from server.domain.release.cuts import Cut, CutState, CutWay
from server.domain.release.holds import Hold
from tests.world import World, cases


def hold_on(world: World, on: str) -> Hold:
    with world.use.database.reading() as session:
        (found,) = [hold for hold in holds.current(session, world.person("auditor")) if hold.on == on]
        return found


def test_a_hold_is_shown_with_its_cut(world: World) -> None:
    """Staff see that it is wanted, by whom, and nothing where nobody asked."""
    holds.place(world.use, world.admin, "gpt-2", "A question.")
    holds.place(world.use, world.admin, "mini-gpt", "A leak.", cut_issued=True)
    assert hold_on(world, "gpt-2").cut is None
    cut = hold_on(world, "mini-gpt").cut
    assert cut is not None
    assert (cut.state, cut.asked_by, cut.way, cut.milliseconds) == ("wanted", world.admin.person, None, None)
    assert "cut_issued" not in world.records("hold.place")[0]


def test_a_cut_is_asked_for_once(world: World) -> None:
    """But one that failed can be asked for again; and nothing is cut that is not on hold."""
    with pytest.raises(NotPossible, match="not on hold"):
        holds.cut(world.use, world.admin, "gpt-2")
    holds.place(world.use, world.admin, "gpt-2", "A leak.", cut_issued=True)
    with pytest.raises(NotPossible, match="already being cut"):
        holds.cut(world.use, world.admin2, "gpt-2")
    for state, allowed in ((CutState.DONE, False), (CutState.FAILED, True)):
        with world.use.database.transaction() as session:
            session.execute(update(Cut).values(state=state, told="away"))
        if allowed:
            holds.cut(world.use, world.admin2, "gpt-2")
        else:
            with pytest.raises(NotPossible, match="already been cut"):
                holds.cut(world.use, world.admin2, "gpt-2")
    cut = hold_on(world, "gpt-2").cut
    assert cut is not None
    assert (cut.state, cut.asked_by, cut.told) == (CutState.WANTED, world.admin2.person, None)


@cases(
    ("on", "way", "is_due"),
    [
        ("gpt-2", None, False),  # the store was never told
        ("gpt-2", CutWay.POLICY, True),
        ("gpt-2", CutWay.KEY, True),  # the policy was tried before
        ("organization:birch-university", CutWay.KEY, False),
    ],
)
def test_a_lift_takes_back_what_the_store_was_told(world: World, on: str, way: CutWay | None, is_due: bool) -> None:
    """And nothing else: a key that was replaced stays replaced."""
    holds.place(world.use, world.admin, on, "A leak.", cut_issued=True)
    with world.use.database.transaction() as session:
        session.execute(update(Cut).values(way=way, due_at=None))
        cuts.lift(session, on, world.clock())
    with world.use.database.reading() as session:
        assert cuts.all_of(session, [on]) == {}
        cut = session.get_one(Cut, 1)
        assert (cut.due_at is not None, cut.lifted_at is not None) == (is_due, True)
    world.tampered = True


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_cut(sqlite_world: World, by: str) -> None:
    """It makes other people's links fail."""
    with pytest.raises(NotPermitted):
        holds.cut(sqlite_world.use, sqlite_world.person(by), "everything")
