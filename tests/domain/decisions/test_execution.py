"""Carrying decisions out: at their moments, once, in their order, each judged anew at its turn."""

from datetime import timedelta

from sqlalchemy import select

from server.domain.decisions import deciding, execution
from server.domain.mail.mails import Mail
from server.domain.release import decisions, holds
from server.domain.release.decisions import DecisionState
from server.domain.release.stages import StageState
from tests.domain.decisions.test_proposing import propose, state_of
from tests.world import World

HOUR = timedelta(hours=1)


def scheduled(world: World, stage: str, to: StageState, hours: int) -> int:
    """Propose and approve a move in so many hours; return the decision's number."""
    made = propose(world, stage, to, opens_at=world.clock() + hours * HOUR)
    return deciding.approve(world.use, world.admin2, made.id).id


def state(world: World, decision_id: int) -> str:
    with world.use.database.reading() as session:
        return str(decisions.get(session, world.admin, decision_id).state)


def released(world: World) -> list[str]:
    """The mails that tell partners of a release."""
    with world.use.database.reading() as session:
        return list(session.scalars(select(Mail.subject).where(Mail.kind == "stage_opened")))


def test_a_scheduled_move_happens_at_its_moment_and_once(world: World) -> None:
    """Not before it; and a second worker that comes finds nothing left."""
    number = scheduled(world, "gpt-2/774M", StageState.PUBLIC, 1)
    world.clock.advance(HOUR - timedelta(seconds=5))
    assert execution.carry_out_due(world.use) == []
    world.clock.advance(timedelta(seconds=10))
    assert [one.id for one in execution.carry_out_due(world.use)] == [number]
    assert execution.carry_out_due(world.use) == []
    assert state_of(world, "gpt-2/774M") == "public"
    assert [record["decision"] for record in world.records("decision.execute")].count(number) == 1


def test_a_worker_that_was_away_over_three_moments_does_them_in_order(world: World) -> None:
    """By their moments, not by their numbers; one stage goes through all its states."""
    last = scheduled(world, "gpt-2/124M", StageState.PARTNERS, 3)
    first = scheduled(world, "gpt-2/1558M", StageState.PARTNERS, 1)
    second = scheduled(world, "gpt-2/1558M", StageState.PUBLIC, 2)
    world.clock.advance(9 * HOUR)
    assert [one.id for one in execution.carry_out_due(world.use)] == [first, second, last]
    assert (state_of(world, "gpt-2/1558M"), state_of(world, "gpt-2/124M")) == ("public", "partners")


def test_each_is_judged_anew_at_its_turn(world: World) -> None:
    """One that is forbidden by then is blocked; what builds on it is blocked too; the others go on."""
    first = scheduled(world, "gpt-2/1558M", StageState.PARTNERS, 1)
    second = scheduled(world, "gpt-2/1558M", StageState.PUBLIC, 2)
    third = scheduled(world, "mini-gpt/base", StageState.PUBLIC, 3)
    holds.place(world.use, world.admin, "gpt-2/1558M", "A finding.")
    world.clock.advance(2 * HOUR - timedelta(minutes=1))
    execution.carry_out_due(world.use)
    world.lift("gpt-2/1558M")
    world.clock.advance(9 * HOUR)
    execution.carry_out_due(world.use)
    assert [state(world, one) for one in (first, second, third)] == ["blocked", "blocked", "done"]
    said = [record["because"] for record in world.records("decision.block")]
    assert said == [
        ["There is a hold on gpt-2/1558M."],
        ["gpt-2/1558M is planned, and no longer partners."],
    ]


def test_whoever_it_concerns_is_told(world: World) -> None:
    """Proposed: the other admins. Scheduled, done and blocked: all admins. Opened: the partners, with the reason."""
    number = scheduled(world, "gpt-2/774M", StageState.PUBLIC, 1)
    world.clock.advance(2 * HOUR)
    execution.carry_out_due(world.use)
    blocked = propose(world, "gpt-2/1558M", StageState.PARTNERS)
    holds.place(world.use, world.admin, "everything", "Wait.")
    deciding.approve(world.use, world.admin2, blocked.id)
    with world.use.database.reading() as session:
        told = session.execute(select(Mail.kind, Mail.recipient, Mail.subject, Mail.text)).all()
    admins = {world.admin.person, world.admin2.person}
    title = "gpt-2/774M: partners → public"
    for kind, subject, whom in (
        ("decision_waits", f"Approval needed: {title}", {world.admin2.person}),
        ("decision_scheduled", f"Scheduled: {title}", admins),
        ("decision_done", f"Done: {title}", admins),
        ("decision_blocked", "Blocked: gpt-2/1558M: planned → partners", admins),
    ):
        assert {mail.recipient for mail in told if (mail.kind, mail.subject) == (kind, subject)} == whom
    (text,) = {mail.text for mail in told if mail.kind == "decision_done"}
    assert text.startswith(f"See it: {world.settings.public_url}/admin/decisions/{number}\n")
    assert "  There is a hold on everything." in next(mail.text for mail in told if mail.kind == "decision_blocked")
    opened = [mail.text for mail in told if "> Partners studied it for months." in mail.text]
    assert len([text for text in opened if "The lab released gpt-2/774M to everyone" in text]) == 3


def test_a_move_back_or_away_is_never_forbidden(world: World) -> None:
    """What takes access away goes through a hold, and nobody is told of a release."""
    before = len(released(world))
    holds.place(world.use, world.admin, "everything", "Wait.")
    assert world.move("gpt-2/124M", StageState.PARTNERS).state == DecisionState.DONE
    assert world.move("gpt-2/774M", StageState.WITHDRAWN).state == DecisionState.DONE
    assert len(released(world)) == before
