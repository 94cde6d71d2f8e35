"""Endings: what ends and nothing outlasts; those concerned are told in time, each once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select

from server.domain.access import access_requests, clearances, endings
from server.domain.access.clearances import Clearance
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.release import holds
from tests.world import World, cases

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FAR = 400 * DAY  # beyond whatever the worked example's own clearances last


@pytest.fixture
def world(world: World) -> World:
    """Where nothing ends but what a test gives, on a morning long after."""
    with world.use.database.transaction() as session:
        session.execute(delete(Mail))
    world.clock.offset += FAR
    now = world.clock()
    world.clock.offset += now.replace(hour=9, minute=0, second=0, microsecond=0) + DAY - now
    return world


def give(world: World, days: int, *, tier: str = "research", partner: str = "cedar-systems", **more: Any) -> Clearance:
    """A clearance whose last day is so many days from today."""
    last = world.clock().replace(hour=0, minute=0, second=0, microsecond=0) + (days + 1) * DAY
    known: dict[str, Any] = {"expires_at": last, "purpose": "Study."} | more
    made = clearances.propose(world.use, world.admin, partner, "gpt-2", tier, **known)
    return clearances.approve(world.use, world.admin2, made.id)


def outbox(world: World, kind: str = "access_ends") -> list[Mail]:
    with world.use.database.reading() as session:
        return list(session.scalars(select(Mail).where(Mail.kind == kind).order_by(Mail.id)))


def days_on_which_it_is_told(world: World, days: int) -> list[int]:
    """Let so many days go by, with a worker that looks four times a day."""
    first, end = world.clock().date(), world.clock() + days * DAY
    while world.clock() < end:
        endings.remind(world.use)
        world.clock.advance(6 * HOUR)
    return [(mail.queued_at.date() - first).days for mail in outbox(world)]


def test_an_organization_is_told_four_times(world: World) -> None:
    """60, 30, 7 and 1 days before the last day, in words that say which day that is."""
    made = give(world, 62)
    assert days_on_which_it_is_told(world, 65) == [2, 32, 55, 61]
    mails = outbox(world)
    assert {mail.recipient for mail in mails} == {world.person("uncleared").person}
    assert [mail.subject.split(":")[0] for mail in mails] == [
        "Access ends in 60 days", "Access ends in 30 days", "Access ends in 7 days", "Access ends tomorrow",
    ]  # fmt: skip
    assert f"{made.expires_at - DAY:%-d %B %Y} is its last day" in mails[0].text


def test_a_worker_that_was_away_tells_the_nearest(world: World) -> None:
    """Over two of them; over all of them nothing, since it has ended."""
    give(world, 62)
    world.clock.advance(57 * DAY)
    assert endings.remind(world.use) >= 1
    assert [mail.subject for mail in outbox(world)] == ["Access ends in 5 days: research on gpt-2"]
    world.clock.advance(5 * DAY)
    endings.remind(world.use)
    assert outbox(world)[-1].subject == "Access ends today: research on gpt-2"
    give(world, 62)
    world.clock.advance(63 * DAY)
    endings.remind(world.use)
    assert len(outbox(world)) == 2


def test_two_workers_tell_once(world: World) -> None:
    """However they run into each other."""
    give(world, 20)
    world.clock.advance(14 * DAY)
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: endings.remind(world.use), range(8)))
    assert sum(told) == 2  # the organization, and the lab its list
    assert len(outbox(world)) == 1
    assert len(outbox(world, "access_ends_week")) == 2


def test_whoever_asked_for_it_is_told_as_well(world: World) -> None:
    """A member who asked, next to the owners; nobody who was disabled since."""
    world.add_person("cedar-systems", "member@cedar-systems.example", Role.MEMBER)
    asker = world.person_of("member@cedar-systems.example")
    asked = access_requests.create(
        world.use, asker, "gpt-2", "research", purpose="Study.", wanted_until=world.clock() + 20 * DAY
    )
    made = access_requests.approve(world.use, world.admin, asked.id).clearance_id
    clearances.approve(world.use, world.admin2, made or 0)
    world.clock.advance(14 * DAY)
    endings.remind(world.use)
    assert {mail.recipient for mail in outbox(world)} == {world.person("uncleared").person, asker.person}


Change = Callable[[World, Clearance], object]
SILENT: dict[str, Change] = {
    "revoked": lambda world, made: clearances.revoke(world.use, world.admin, made.id),
    "extended": lambda world, made: clearances.approve(
        world.use, world.admin2, clearances.extend(world.use, world.admin, made.id, made.expires_at + 90 * DAY).id
    ),
    "outlasted by a higher tier": lambda world, _: give(world, 90, tier="partner"),
    "of a suspended organization": lambda world, _: holds.place(
        world.use, world.admin, "organization:cedar-systems", "A leak."
    ),
}
TOLD: dict[str, Change] = {
    "extension only proposed": lambda world, made: clearances.extend(
        world.use, world.admin, made.id, made.expires_at + 90 * DAY
    ),
    "longer, but of a lower tier": lambda world, _: clearances.propose(
        world.use, world.admin, "cedar-systems", "gpt-2", "registered", expires_at=world.clock() + 90 * DAY, purpose="x"
    ),
    "longer, but of another model": lambda world, _: clearances.approve(
        world.use, world.admin2, clearances.propose(
            world.use, world.admin, "cedar-systems", "mini-gpt", "research", expires_at=world.clock() + 90 * DAY,
            purpose="x",
        ).id,
    ),
    "another one that begins after a gap": lambda world, made: clearances.approve(
        world.use, world.admin2, clearances.propose(
            world.use, world.admin, "cedar-systems", "gpt-2", "research", starts_at=made.expires_at + DAY,
            expires_at=made.expires_at + 90 * DAY, purpose="x",
        ).id,
    ),
    "longer, of another organization": lambda world, _: give(world, 90, partner="birch-university"),
}  # fmt: skip


@cases("change", SILENT.values(), ids=SILENT)
def test_nobody_is_told_of_what_does_not_end_so(world: World, change: Change) -> None:
    """Revoked, followed by another one, or of an organization that cannot use it."""
    made = give(world, 20)
    change(world, made)
    world.clock.advance(14 * DAY)
    endings.remind(world.use)
    assert outbox(world) == []


@cases("change", TOLD.values(), ids=TOLD)
def test_they_are_told_of_what_nothing_outlasts(world: World, change: Change) -> None:
    """What is only proposed, lower, of something else, or begins too late keeps no access."""
    made = give(world, 20)
    change(world, made)
    world.clock.advance(14 * DAY)
    endings.remind(world.use)
    assert [mail.subject for mail in outbox(world)] == ["Access ends in 6 days: research on gpt-2"]


def test_of_two_that_end_together_the_higher_one_is_told(world: World) -> None:
    """Whoever has two tiers until one day hears of it once."""
    give(world, 20)
    give(world, 20, tier="partner")
    world.clock.advance(14 * DAY)
    endings.remind(world.use)
    assert [mail.subject for mail in outbox(world)] == ["Access ends in 6 days: partner on gpt-2"]


def test_what_was_suspended_is_told_when_it_resumes(world: World) -> None:
    """The nearest one, once the organization can act on it."""
    give(world, 20)
    holds.place(world.use, world.admin, "organization:cedar-systems", "A leak.")
    world.clock.advance(14 * DAY)
    endings.remind(world.use)
    assert outbox(world) == []
    world.lift("organization:cedar-systems")
    endings.remind(world.use)
    assert len(outbox(world)) == 1


def test_the_lab_has_a_list_each_week(world: World) -> None:
    """To each admin, from Monday in UTC on; none in a week in which nothing ends; the next to end comes first."""
    assert endings.remind(world.use) == 0
    world.clock.advance(7 * DAY)
    give(world, 50)
    give(world, 40, partner="birch-university", tier="partner")
    endings.remind(world.use)
    endings.remind(world.use)
    week = outbox(world, "access_ends_week")
    assert {mail.recipient for mail in week} == {world.admin.person, world.admin2.person}
    assert len(week) == 2
    assert week[0].subject == "Ending soon: 2 clearances"
    lines = [line for line in week[0].text.splitlines() if line.startswith("  ")]
    assert [line.partition(": ")[2] for line in lines] == [
        "partner on gpt-2, Birch University", "research on gpt-2, Cedar Systems",
    ]  # fmt: skip
    to_monday = 7 - world.clock().weekday()
    world.clock.advance(to_monday * DAY - 10 * HOUR)  # Sunday, 23:00
    endings.remind(world.use)
    assert len(outbox(world, "access_ends_week")) == 2
    world.clock.advance(HOUR)
    endings.remind(world.use)
    assert len(outbox(world, "access_ends_week")) == 4


def test_the_list_is_of_what_ends_within_so_many_days(world: World) -> None:
    """Counted in whole days; a partner sees its own alone."""
    mine, theirs = give(world, 50), give(world, 40, partner="birch-university")

    def found(name: str, days: int) -> list[int]:
        with world.use.database.reading() as session:
            listed = endings.soonest(session, world.person(name), world.clock(), days * DAY)
        return [one.id for one in listed]

    assert found("auditor", 60) == [theirs.id, mine.id]
    assert found("auditor", 40) == [theirs.id]
    assert found("auditor", 39) == []
    assert found("uncleared", 60) == [mine.id]
