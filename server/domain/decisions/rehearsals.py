"""Rehearsals: what a move would do if it happened now, before anybody proposes it; and reminding who must sign."""

from collections.abc import Sequence
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

PEOPLE_COUNTED_OF = 1000  # organizations, where not all are named
REMINDED_AT_MOST_EVERY = timedelta(days=1)
_HEIGHT = {StageState.WITHDRAWN: -1, StageState.PLANNED: 0, StageState.PARTNERS: 1, StageState.PUBLIC: 2}


@dataclass(frozen=True, slots=True)
class Concerned:
    """Organizations that a move concerns: how many, and some of them, or all, by name.

    people: how many could download; None where there are too many organizations to count them on a page.
    """

    count: int = 0
    people: int | None = 0
    named: Sequence[Member] = ()


NOBODY = Concerned()


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
    gains: Concerned
    unsigned: Concerned
    keeps: Concerned
    out_of_order: Sequence[str]
    blocks: Sequence[str]


def rehearse(
    session: Session, caller: Caller, full_name: str, to: StageState, at: datetime,
    *, named_at_most: int | None = None,
) -> Rehearsal:  # fmt: skip
    """For staff alone. Raises NotFound, and NotPossible for a state that the stage cannot move to.

    named_at_most: of those whom it concerns, so many are named at the most, and all are counted.
    """
    caller.require(Permission.DECISION_READ)
    stage = stages.find(session, caller, full_name)
    before = StageState(stage.state)
    if to not in MOVES[before]:
        raise NotPossible(f"{stage.full_name} is {before} and cannot move to {to}.")
    is_opening, to_partners = (before, to) in OPENING, to is StageState.PARTNERS
    signed, unsigned = _concerned(session, stage, at, named_at_most) if to_partners else (NOBODY, NOBODY)
    return Rehearsal(
        stage=stage.full_name, before=before, to=to, everyone=to is StageState.PUBLIC,
        gains=signed if is_opening else NOBODY, unsigned=unsigned, keeps=NOBODY if is_opening else signed,
        out_of_order=_out_of_order(session, stage, to) if is_opening else [],
        blocks=blockers.of_move(session, stage, before, to),
    )  # fmt: skip


def _concerned(session: Session, stage: Stage, at: datetime, at_most: int | None) -> tuple[Concerned, Concerned]:
    """The cleared that have signed, and those that have not. Where all can be named, one look is enough."""
    found = audience.of(session, stage, at, at_most=None if at_most is None else at_most + 1)
    signed, unsigned = [one for one in found if one.signed], [one for one in found if not one.signed]
    if at_most is None or len(found) <= at_most:
        return Concerned(len(signed), sum(one.people for one in signed), signed), Concerned(len(unsigned), 0, unsigned)
    counts = audience.counts(session, stage, at)
    people = audience.people(session, stage, at) if counts.signed <= PEOPLE_COUNTED_OF else None
    named = [
        some[:at_most] if len(some) >= min(count, at_most)
        else audience.of(session, stage, at, signed=is_signed, at_most=min(count, at_most))
        for is_signed, some, count in ((True, signed, counts.signed), (False, unsigned, counts.unsigned))
    ]  # fmt: skip
    return Concerned(counts.signed, people, named[0]), Concerned(counts.unsigned, 0, named[1])


def remind(use: Resources, caller: Caller, full_name: str, organization: str) -> None:
    """Ask the owners of a cleared organization by mail to sign what a stage requires; at most once a day."""
    caller.require(Permission.DECISION_PROPOSE)
    with use.database.transaction() as session:
        stage = stages.get(session, full_name)
        partner = organizations.get(session, organization, lock=True)  # two who remind at once send one mail
        at = use.clock()
        if stage.agreement is None or not audience.lacks_signature(session, stage, partner, at):
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
