"""Holds: nobody, for now. Laid by one admin on a stage, a model or everything; the state underneath is kept."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain import stages
from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.domain.stages import Everything, Holdable, Model, Stage
from server.log import entries

EVERYTHING = "everything"


def lay(use: Resources, caller: Caller, on: str, reason: str) -> None:
    """Stop issuing for `on` (`model/stage`, `model` or `everything`) from the next request on."""
    if not reason.strip() or len(reason) > 1000:
        raise InvalidRequest("Say why, in at most 1000 characters: the log keeps it, and staff read it.")
    _set(use, caller, on, reason)


def lift(use: Resources, caller: Caller, on: str) -> None:
    """Take a hold away: the state that was underneath counts again."""
    _set(use, caller, on, None)


def _set(use: Resources, caller: Caller, on: str, reason: str | None) -> None:
    caller.require(Permission.STAGE_HOLD)
    with use.database.transaction() as session:
        held = _locked(session, on)
        on = held.full_name if isinstance(held, Stage) else on  # not an alias: the log is searched by it
        if (held.held_at is not None) == (reason is not None):
            raise NotPossible(f"{on} is {'held already' if reason else 'not held'}.")
        at = use.clock()
        held.held_at, held.held_by, held.hold_reason = (
            (None, None, None) if reason is None else (at, caller.person, reason)
        )
        record = {"actor": caller.as_record(), "on": on, "reason": reason}
        kind, stage = "hold.lift" if reason is None else "hold.lay", on if isinstance(held, Stage) else None
        entries.append(session, kind=kind, at=at, record=record, subject=on, stage=stage)


def _locked(session: Session, on: str) -> Holdable:
    if on == EVERYTHING:
        return session.get_one(Everything, 1, with_for_update=True)
    if "/" in on:
        return stages.get(session, on, lock=True)
    model = session.scalar(select(Model).where(Model.name == on).with_for_update())
    if model is None:
        raise NotFound(f"There is no model {on}; a stage is named model/stage.")
    return model
