"""Holds: nobody, for now. Placed by one admin on a stage, a model or everything; the state underneath is kept."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.release import stages
from server.domain.release.stages import Everything, Holdable, Model, Stage
from server.domain.resources import Resources

EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Hold:
    """On what, since when, who placed it and why."""

    on: str
    at: datetime
    by: str | None
    reason: str | None


def place(use: Resources, caller: Caller, on: str, reason: str) -> None:
    """Stop issuing for `on` (`model/stage`, `model` or `everything`) from the next request on."""
    _set(use, caller, on, long_texts.require(reason, "a reason, which is recorded in the log for staff to read"))


def lift(use: Resources, caller: Caller, on: str) -> None:
    """Lift a hold: the state underneath counts again."""
    _set(use, caller, on, None)


def current(session: Session, caller: Caller) -> list[Hold]:
    """Every hold now, the widest first. For staff alone: partners are told that there is one, not why."""
    caller.require(Permission.CHECKPOINT_READ)
    if not caller.is_staff:
        return []
    everything = session.get_one(Everything, 1)
    models = session.scalars(select(Model).where(Model.held_at.is_not(None)).order_by(Model.id))
    held = select(Stage).where(Stage.held_at.is_not(None)).options(joinedload(Stage.model)).order_by(Stage.id)
    found: list[tuple[str, Holdable]] = [(EVERYTHING, everything)] if everything.held_at else []
    found += [(model.name, model) for model in models]
    found += [(stage.full_name, stage) for stage in session.scalars(held)]
    return [Hold(on, row.held_at, row.held_by, row.hold_reason) for on, row in found if row.held_at is not None]


def state_of(session: Session, caller: Caller, on: str) -> tuple[str, Hold | None]:
    """The full name of what can be put on hold, and the hold on exactly that. Raises NotFound."""
    caller.require(Permission.STAGE_HOLD)
    held: Holdable
    if on == EVERYTHING:
        held = session.get_one(Everything, 1)
    elif "/" in on:
        held = stages.get(session, on)
        on = held.full_name
    else:
        held = stages.get_model(session, on)
    return on, None if held.held_at is None else Hold(on, held.held_at, held.held_by, held.hold_reason)


def _set(use: Resources, caller: Caller, on: str, reason: str | None) -> None:
    caller.require(Permission.STAGE_HOLD)
    with use.database.transaction() as session:
        held = _locked(session, on)
        on = held.full_name if isinstance(held, Stage) else on  # not an alias: the log is searched by it
        if (held.held_at is not None) == (reason is not None):
            raise NotPossible(f"{on} is {'already on hold' if reason else 'not on hold'}.")
        at = use.clock()
        held.held_at, held.held_by, held.hold_reason = (
            (None, None, None) if reason is None else (at, caller.person, reason)
        )
        record = {"actor": caller.as_record(), "on": on, "reason": reason}
        acts.append(session, EntryKind.HOLD_LIFT if reason is None else EntryKind.HOLD_PLACE, at, record)


def _locked(session: Session, on: str) -> Holdable:
    if on == EVERYTHING:
        return session.get_one(Everything, 1, with_for_update=True)
    if "/" in on:
        return stages.get(session, on, lock=True)
    query = select(Model).where(Model.name == on).with_for_update()
    model = session.scalar(query) if stages.NAME.fullmatch(on) else None
    if model is None:
        raise NotFound(f"There is no model {on}. Write a stage as model/stage.")
    return model
