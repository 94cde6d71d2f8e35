"""Rehearsals: what a move would do if it happened now, before anybody proposes it; and reminding who must sign."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.domain.callers import Caller
from server.domain.decisions import audience, blockers
from server.domain.decisions.audience import Member
from server.domain.errors import NotFound, NotPossible
from server.domain.identity import organizations
from server.domain.identity.people import Person
from server.domain.mail import decision_notices
from server.domain.mail.mails import Mail
from server.domain.permissions import Permission, Role
from server.domain.release import stages
from server.domain.release.stages import MOVES, OPENING, Stage, StageState
from server.domain.resources import Resources

REMINDED_AT_MOST_EVERY = timedelta(days=1)
_HEIGHT = {StageState.WITHDRAWN: -1, StageState.PLANNED: 0, StageState.PARTNERS: 1, StageState.PUBLIC: 2}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a move would do now.

    gains: organizations that can download after it and cannot before; `everyone`: anybody at all can. unsigned: those
    that are cleared and would still be refused. keeps: those that can download after a move that takes access away.
    out_of_order: what of the ladder it would overtake, in sentences. blocks: what would forbid it.
    """

    stage: str
    before: StageState
    to: StageState
    everyone: bool
    gains: Sequence[Member]
    unsigned: Sequence[Member]
    keeps: Sequence[Member]
    out_of_order: Sequence[str]
    blocks: Sequence[str]

    @property
    def people(self) -> int:
        """How many people could download who cannot before."""
        return sum(one.people for one in self.gains)


def rehearse(
    session: Session, caller: Caller, full_name: str, to: StageState, at: datetime, considered: Collection[int] = ()
) -> Rehearsal:
    """For staff alone. Raises NotFound, and NotPossible for a state that the stage cannot move to."""
    caller.require(Permission.DECISION_READ)
    stage = stages.find(session, caller, full_name)
    before = StageState(stage.state)
    if to not in MOVES[before]:
        raise NotPossible(f"{stage.full_name} is {before} and cannot move to {to}.")
    members = audience.of(session, stage, at)
    signed, unsigned = [one for one in members if one.signed], [one for one in members if not one.signed]
    is_opening, to_partners = (before, to) in OPENING, to is StageState.PARTNERS
    return Rehearsal(
        stage=stage.full_name, before=before, to=to, everyone=to is StageState.PUBLIC,
        gains=signed if is_opening and to_partners else [],
        unsigned=unsigned if to_partners else [],
        keeps=signed if to_partners and not is_opening else [],
        out_of_order=_out_of_order(session, stage, to) if is_opening else [],
        blocks=blockers.of_move(session, stage, before, to, considered),
    )  # fmt: skip


def remind(use: Resources, caller: Caller, full_name: str, organization: str) -> None:
    """Ask the owners of a cleared organization by mail to sign what a stage requires; at most once a day."""
    caller.require(Permission.DECISION_PROPOSE)
    with use.database.transaction() as session:
        stage = stages.get(session, full_name)
        partner = organizations.get(session, organization, lock=True)  # two who remind at once send one mail
        at = use.clock()
        lacking = {one.slug for one in audience.of(session, stage, at) if not one.signed}
        if stage.agreement is None or partner.slug not in lacking:
            raise NotFound(f"{partner.name} has nothing left to sign for {stage.full_name}.")
        owners = session.scalars(
            select(Person).where(
                Person.organization_id == partner.id, Person.role == Role.OWNER, Person.disabled_at.is_(None)
            )
        ).all()
        recent = select(Mail.id).where(
            Mail.kind == decision_notices.SIGNATURE_REMINDER, Mail.queued_at > at - REMINDED_AT_MOST_EVERY,
            Mail.recipient.in_([owner.email for owner in owners]),
        )  # fmt: skip
        if session.scalar(recent.limit(1)) is not None:
            raise NotPossible(f"{partner.name} was reminded in the last 24 hours.")
        decision_notices.sign(
            session, use, [owner.email for owner in owners], stage.agreement.name, stage.model.name, at
        )


def _out_of_order(session: Session, stage: Stage, to: StageState) -> list[str]:
    """Smaller stages that are less far than this one would be."""
    smaller = select(Stage).where(Stage.model_id == stage.model_id, Stage.ordinal < stage.ordinal)
    return [
        f"{one.full_name} comes before it on the ladder and is {one.state}."
        for one in session.scalars(smaller.order_by(Stage.ordinal))
        if one.state != StageState.WITHDRAWN and _HEIGHT[StageState(one.state)] < _HEIGHT[to]
    ]
