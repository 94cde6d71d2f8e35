"""Statements: what a row holds is declared, and one that is not true is refused when the module is imported."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import pytest
from sqlalchemy import bindparam, null, select, type_coerce

from server.domain.release.stages import Model, Stage, StageState
from server.storage.database import Moment
from server.storage.statements import RowDoesNotFit, Statement
from tests.world import World

STATES = select(Stage.name, Stage.state, Stage.note, Stage.held_at, Stage.announced)


class Shown(NamedTuple):
    """What STATES gives."""

    name: str
    state: StageState
    note: str | None
    held_at: datetime | None
    announced: bool


class Misnamed(NamedTuple):
    """A name that the select does not have."""

    name: str
    status: StageState
    note: str | None
    held_at: datetime | None
    announced: bool


class Turned(NamedTuple):
    """The same names in another order."""

    name: str
    note: str | None
    state: StageState
    held_at: datetime | None
    announced: bool


class TooFew(NamedTuple):
    """A column is missing."""

    name: str
    state: StageState
    note: str | None
    held_at: datetime | None


class WrongType(NamedTuple):
    """A moment declared as text."""

    name: str
    state: StageState
    note: str | None
    held_at: str | None
    announced: bool


class NeverNone(NamedTuple):
    """A nullable column declared as always there."""

    name: str
    state: StageState
    note: str
    held_at: datetime | None
    announced: bool


class NeverEmpty(NamedTuple):
    """A nullable text declared as an enumeration."""

    name: str
    state: StageState
    note: StageState
    held_at: datetime | None
    announced: bool


class Doubtful(NamedTuple):
    """An enumeration that may be absent is not made one, so it must not be declared."""

    name: str
    state: StageState | None
    note: str | None
    held_at: datetime | None
    announced: bool


class Counted(NamedTuple):
    """A number declared as an enumeration of text."""

    id: StageState


class Words(StrEnum):
    """Of which a stage's state is none."""

    ONE = "one"


class OtherWords(NamedTuple):
    """A state in the words of something else."""

    state: Words


class Nothing(NamedTuple):
    """What is never there."""

    at: datetime


@pytest.mark.parametrize("row", [Misnamed, Turned, TooFew, WrongType, NeverNone, NeverEmpty, Doubtful])
def test_a_row_that_does_not_fit_its_select_is_refused_before_anything_runs(row: type[NamedTuple]) -> None:
    """By name, order, number, type and absence; the error names the row's type."""
    with pytest.raises(RowDoesNotFit, match=row.__name__):
        Statement(STATES, row)


def test_what_is_no_text_cannot_be_an_enumeration_and_what_may_be_null_needs_none() -> None:
    """Also of expressions that are no plain column."""
    with pytest.raises(RowDoesNotFit):
        Statement(select(Stage.id), Counted)
    with pytest.raises(RowDoesNotFit):
        Statement(select(type_coerce(null(), Moment).label("at")), Nothing)
    with pytest.raises(RowDoesNotFit):
        Statement(select(select(Stage.state_since).where(Stage.id == 1).scalar_subquery().label("at")), Nothing)


def test_rows_hold_what_they_declare(world: World) -> None:
    """On both databases: enumerations, truth values, aware moments and what is absent."""
    one = Statement(STATES.join(Model).where(Model.name == "gpt-2", Stage.name == bindparam("called")), Shown)
    with world.use.database.reading() as session:
        found = one.first(session, called="1558M")
        assert one.first(session, called="nothing") is None
    assert found is not None
    assert (type(found), found.state, found.announced, found.held_at) == (Shown, StageState.PLANNED, True, None)
    assert type(found.state) is StageState
    assert type(found.announced) is bool


def test_a_word_that_the_enumeration_does_not_know_is_an_error_and_no_row(world: World) -> None:
    """What is unexpected never becomes a value that a check could mistake for another."""
    states = Statement(select(Stage.state), OtherWords)
    with world.use.database.reading() as session, pytest.raises(ValueError, match="is not a valid Words"):
        states.all(session)
