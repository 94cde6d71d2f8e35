"""Renewals: the same for as long again, asked for in one step and decided like any other request."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from server.domain.access import access_requests, clearances, endings, renewals
from server.domain.access.clearances import Clearance
from server.domain.audit import verifying
from server.domain.callers import Caller
from server.domain.errors import NotFound, NotPermitted, NotPossible
from server.domain.mail.mails import Mail
from server.domain.release import tiers
from server.domain.release.findings import Finding, FindingKind, Severity
from server.domain.release.tiers import Tier
from tests.findings import report
from tests.world import World

DAY = timedelta(days=1)
MINE = 1  # the cleared partner's clearance on gpt-2


def own(world: World) -> Clearance:
    with world.use.database.reading() as session:
        return clearances.get(session, world.admin, MINE)


def clearance(first: str, last: str) -> Clearance:
    """One that holds from the morning of a day until another is over."""
    start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
    return Clearance(starts_at=start + timedelta(hours=9), expires_at=end + DAY)


@pytest.mark.parametrize(
    ("first", "last", "today", "wanted"),
    [
        ("2027-01-01", "2027-01-31", "2027-01-20", "2027-03-03"),  # 31 days more
        ("2028-02-29", "2028-02-29", "2028-02-29", "2028-03-01"),  # one day more
        ("2027-03-01", "2028-02-29", "2028-02-01", "2029-03-01"),  # a year with a leap day has 366 days
        ("2027-03-01", "2027-03-31", "2027-06-01", "2027-07-02"),  # over: as long from today on
        ("2020-01-01", "2027-01-01", "2027-01-01", "2029-01-01"),  # no longer than a request may ask for
    ],
)
def test_it_is_for_as_many_days_again(first: str, last: str, today: str, wanted: str) -> None:
    """After its last day, or after today; counted in days of the calendar in UTC, at most two years from now."""
    at = datetime.fromisoformat(today).replace(tzinfo=UTC) + timedelta(hours=12)
    ends = renewals.until(clearance(first, last), at)
    assert ends == datetime.fromisoformat(wanted).replace(tzinfo=UTC) + DAY
    assert ends <= at + access_requests.LONGEST


def test_a_renewal_takes_the_same_two_people(world: World) -> None:
    """It becomes a clearance that extends the old one, which stays as it is until its end."""
    before = own(world)
    asked = renewals.ask(world.use, world.person("cleared"), MINE)
    assert (asked.renews, asked.purpose, asked.tier_id) == (MINE, before.purpose, before.tier_id)
    assert world.records("access_request.create")[-1]["renews"] == MINE
    made = access_requests.approve(world.use, world.admin, asked.id).clearance
    assert made is not None
    assert (made.state_at(world.clock()), made.expires_at) == ("proposed", asked.wanted_until)
    assert world.records("clearance.propose")[-1]["extends"] == MINE
    with pytest.raises(NotPossible):
        clearances.approve(world.use, world.admin, made.id)
    clearances.approve(world.use, world.admin2, made.id)
    assert own(world).expires_at == before.expires_at
    world.clock.advance(before.expires_at - world.clock() + DAY)
    world.seal()
    with world.use.database.reading() as session:
        assert clearances.get(session, world.admin, made.id).state_at(world.clock()) == "active"


def test_the_lab_is_told_that_it_is_a_renewal(sqlite_world: World) -> None:
    """In the subject; and a reminder that comes meanwhile says that the lab has not decided."""
    world = sqlite_world
    world.clock.advance(own(world).expires_at - world.clock() - 20 * DAY)
    renewals.ask(world.use, world.person("cleared"), MINE)
    endings.remind(world.use)
    with world.use.database.reading() as session:
        mine = select(Mail).where(Mail.subject.contains("research on gpt-2")).order_by(Mail.id.desc())
        mails = {mail.kind: mail for mail in session.scalars(mine) if "birch" not in mail.recipient}
    assert mails["access_request"].subject == "Aurora Institute requests to renew access to research on gpt-2"
    assert "the lab has not decided yet" in mails["access_ends"].text


def test_only_what_was_in_force_is_renewed(world: World) -> None:
    """Not what the lab took back or never approved, not twice, and not another organization's."""
    owner = world.person("cleared")
    with pytest.raises(NotFound):
        renewals.ask(world.use, world.person("uncleared"), MINE)
    with pytest.raises(NotPermitted):
        renewals.ask(world.use, world.admin, MINE)
    first = renewals.ask(world.use, owner, MINE)
    with pytest.raises(NotPossible, match="is still open"):
        renewals.ask(world.use, owner, MINE)
    access_requests.withdraw(world.use, owner, first.id)
    later = world.clock() + 300 * DAY
    proposed = clearances.propose(
        world.use, world.admin, "aurora-institute", "gpt-2", "research", expires_at=later, purpose="x"
    )
    clearances.revoke(world.use, world.admin, MINE)
    for number, state in ((proposed.id, "proposed"), (MINE, "revoked")):
        with pytest.raises(NotPossible, match=f"Clearance {number} is {state}, so it cannot be renewed"):
            renewals.ask(world.use, owner, number)


def test_what_has_ended_is_renewed_from_today(world: World) -> None:
    """Whoever missed every reminder need not write a request."""
    before = own(world)
    world.clock.advance(before.expires_at - world.clock() + 10 * DAY)
    world.seal()
    asked = renewals.ask(world.use, world.person("cleared"), MINE)
    assert asked.wanted_until > world.clock() + (before.expires_at - before.starts_at) - 2 * DAY


@pytest.mark.parametrize("kind", [FindingKind.BIAS, FindingKind.NOTHING_FOUND])
def test_a_tier_may_take_a_report_since_the_access_was_granted(world: World, kind: FindingKind) -> None:
    """A finding, or that nothing was found; of this organization, on this model, and not from before."""
    owner = world.person("cleared")
    quiet: dict[str, Any] = {"kind": kind, "severity": Severity.NONE}
    before = report(world, **quiet)
    with world.use.database.transaction() as session:
        session.execute(update(Finding).where(Finding.id == before).values(reported_at=world.clock() - 400 * DAY))
    world.tampered = True
    tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    report(world, stage="mini-gpt/base", **quiet)
    report(world, world.person("unsigned"), **quiet)
    with pytest.raises(NotPossible, match=r"Renewing research on gpt-2 takes a report since .*, and there is none"):
        renewals.ask(world.use, owner, MINE)
    assert world.records("access_request.create") == []
    report(world, **quiet)
    assert renewals.ask(world.use, owner, MINE).renews == MINE


def test_a_plain_request_is_no_way_around_the_report(world: World) -> None:
    """For what an organization had, whatever its form says; for what it never had there is nothing to report on."""
    for tier in ("research", "partner"):
        tiers.edit(world.use, world.admin, tier, report_to_renew=True)
    owner, until = world.person("cleared"), own(world).expires_at + 30 * DAY

    def request(by: Caller, tier: str) -> None:
        made = access_requests.create(world.use, by, "mini-gpt", tier, purpose="x", wanted_until=until)
        access_requests.withdraw(world.use, by, made.id)

    with pytest.raises(NotPossible, match="takes a report since"):
        request(owner, "research")
    request(owner, "partner")  # a higher one than it ever had
    request(world.person("uncleared"), "research")
    report(world, stage="mini-gpt/base")
    request(owner, "research")


def test_a_tier_that_takes_none_asks_for_none(world: World) -> None:
    """From the next request on, whichever way it was changed; each change is an entry, and none twice."""
    tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    with pytest.raises(NotPossible, match="already takes a report"):
        tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    with pytest.raises(NotPermitted):
        tiers.edit(world.use, world.person("auditor"), "research", report_to_renew=False)
    tiers.edit(world.use, world.admin, "research", report_to_renew=False)
    assert [record["report_to_renew"] for record in world.records("tier.edit")] == [True, False]
    assert renewals.ask(world.use, world.person("cleared"), MINE).renews == MINE


def test_an_admin_can_still_propose_a_clearance_without_a_report(world: World) -> None:
    """Nobody waives the rule for one organization; giving access by hand is an act of its own, by two people."""
    tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    made = clearances.extend(world.use, world.admin, MINE, own(world).expires_at + 30 * DAY)
    assert clearances.approve(world.use, world.admin2, made.id).approved_at is not None


def test_the_tables_must_say_of_a_tier_what_the_log_says(world: World) -> None:
    """Whoever changes what renewing takes behind the log's back shows."""
    tiers.add(world.use, world.admin, "close", 25, report_to_renew=True)
    tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    world.seal()
    assert [fault for one in verifying.verify(world.use, tables=True) for fault in one.faults] == []
    world.tampered = True
    with world.use.database.transaction() as session:
        session.execute(update(Tier).where(Tier.name.in_(["close", "research"])).values(report_to_renew=False))
    faults = [fault for one in verifying.verify(world.use, tables=True) for fault in one.faults]
    assert {(fault.row, fault.sentence) for fault in faults} == {
        ("tiers close", "its report to renew differs from the log"),
        ("tiers research", "its report to renew differs from the log"),
    }
