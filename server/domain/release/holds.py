"""Holds: nobody, for now. Placed by one admin on a stage, a model, everything or an organization.

What is underneath is kept: a stage's state, and what an organization was cleared for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, SQLColumnExpression, literal, select, union_all
from sqlalchemy.orm import Session

from server.domain import acts, long_texts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.identity import organizations
from server.domain.identity.organizations import HELD_AS, Organization
from server.domain.permissions import Permission
from server.domain.release import cuts, decisions, stages
from server.domain.release.cuts import Cut, CutState
from server.domain.release.decisions import Decision
from server.domain.release.stages import Everything, Holdable, Model, Stage
from server.domain.resources import Resources

EVERYTHING = "everything"
Held = Holdable | Organization


@dataclass(frozen=True, slots=True)
class Hold:
    """On what, since when, who placed it and why.

    cut: what became of the URLs that were issued before, if somebody asked. lift: the proposal to lift it, if any.
    """

    on: str
    at: datetime
    by: str | None
    reason: str | None
    cut: Cut | None = None
    lift: Decision | None = None

    @property
    def is_cut(self) -> bool:
        """Whether URLs from before it are known to fail."""
        return self.cut is not None and self.cut.state == CutState.DONE

    @property
    def is_organization(self) -> bool:
        return is_organization(self.on)


def place(use: Resources, caller: Caller, on: str, reason: str, *, cut_issued: bool = False) -> str:
    """Stop issuing for `on` from the next request on, and return its full name.

    on: `model/stage`, `model`, `everything` or `organization:SLUG`. cut_issued: URLs that were issued before shall die
    at the store, too; whoever asks carries that out, or the worker within seconds (`downloads/cutting.py`).
    """
    reason = long_texts.require(reason, "a reason, which is recorded in the log for staff to read")
    caller.require(Permission.STAGE_HOLD)
    with use.database.transaction() as session:
        on, held = _locked(session, on)
        if held.held_at is not None:
            raise NotPossible(f"{on} is already on hold.")
        at = use.clock()
        held.held_at, held.held_by, held.hold_reason = at, caller.person, reason
        record: dict[str, Any] = {"actor": caller.as_record(), "on": on, "reason": reason}
        if cut_issued:
            cuts.want(session, on, caller.person, at)
            record["cut_issued"] = True
        acts.append(session, EntryKind.HOLD_PLACE, at, record, organization_id=concerned(session, on))
        return on


def cut(use: Resources, caller: Caller, on: str) -> str:
    """Have the issued URLs of what is already on hold die at the store; returns its full name. See `place`."""
    caller.require(Permission.STAGE_HOLD)
    with use.database.transaction() as session:
        on, held = _locked(session, on)
        if held.held_at is None:
            raise NotPossible(f"{on} is not on hold.", next_step="Place a hold first.")
        cuts.want(session, on, caller.person, use.clock())
        return on


def current(session: Session, caller: Caller) -> list[Hold]:
    """Every hold now, the widest first. For staff alone: partners are told that there is one, not why."""
    caller.require(Permission.CHECKPOINT_READ)
    if not caller.is_staff:
        return []
    rows = session.execute(_HELD.order_by("height", "id")).all()
    return _told(session, [(row.on, row) for row in rows])


def state_of(session: Session, caller: Caller, on: str) -> tuple[str, Hold | None]:
    """The full name of what can be put on hold, and the hold on exactly that. Raises NotFound."""
    caller.require(Permission.STAGE_HOLD)
    on, held = find(session, on)
    return on, hold_of(session, on, held)


def hold_of(session: Session, on: str, held: Held) -> Hold | None:
    """The hold on a row that somebody may see, by its full name."""
    return next(iter(_told(session, [(on, held)])), None)


def find(session: Session, on: str, *, lock: bool = False) -> tuple[str, Held]:
    """What can be put on hold, with its full name, not an alias: the log is searched by it. Raises NotFound."""
    if on == EVERYTHING:
        return on, session.get_one(Everything, 1, with_for_update=lock)
    if is_organization(on):
        return on, organizations.get(session, on.removeprefix(HELD_AS), lock=lock)
    if "/" in on:
        stage = stages.get(session, on, lock=lock)
        return stage.full_name, stage
    return on, stages.get_model(session, on, lock=lock)


def is_organization(on: str) -> bool:
    return on.startswith(HELD_AS)


def concerned(session: Session, on: str) -> int | None:
    """Which organization an entry about a hold on this concerns."""
    return organizations.get(session, on.removeprefix(HELD_AS)).id if is_organization(on) else None


def _told(session: Session, found: Sequence[tuple[str, Any]]) -> list[Hold]:
    names = [on for on, row in found if row.held_at is not None]
    if not names:
        return []
    known, lifts = cuts.all_of(session, names), decisions.proposed_lifts(session, names)
    return [
        Hold(on, row.held_at, row.held_by, row.hold_reason, known.get(on), lifts.get(on))
        for on, row in found
        if row.held_at is not None
    ]


def _locked(session: Session, on: str) -> tuple[str, Held]:
    on, held = find(session, on, lock=True)
    if isinstance(held, Organization) and held.is_lab:
        raise NotPossible("The lab cannot be put on hold: nobody could undo it.")
    return on, held


def _held(held: Any, height: int, on: SQLColumnExpression[str]) -> Select[Any]:
    columns = (held.held_at, held.held_by, held.hold_reason)
    return select(literal(height).label("height"), held.id, on.label("on"), *columns).where(held.held_at.is_not(None))


_HELD = union_all(
    _held(Everything, 0, literal(EVERYTHING)),
    _held(Model, 1, Model.name),
    _held(Stage, 2, Model.name + "/" + Stage.name).join(Model, Model.id == Stage.model_id),
    _held(Organization, 3, literal(HELD_AS) + Organization.slug),
)
