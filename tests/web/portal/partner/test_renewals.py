"""Renewals: from the mail over one page to the request, and what the lab sees of it."""

import re
from datetime import timedelta

from sqlalchemy import select

from server.domain.access import access_requests, clearances, endings
from server.domain.downloads import issuing
from server.domain.mail.mails import Mail
from server.domain.permissions import Role
from server.domain.release import tiers
from tests.findings import report
from tests.visits import visit, words
from tests.world import World

DAY = timedelta(days=1)


def near_its_end(world: World, days: int = 7) -> None:
    with world.use.database.reading() as session:
        ends_at = clearances.get(session, world.admin, 1).expires_at
    last = (ends_at - timedelta(microseconds=1)).replace(hour=9, minute=0, second=0, microsecond=0)
    world.clock.advance(last - days * DAY - world.clock())
    world.seal()


def test_a_renewal_is_one_step_from_the_mail(sqlite_world: World) -> None:
    """The link leads to a page with one button; looking at it, however often, asks for nothing."""
    world = sqlite_world
    near_its_end(world)
    endings.remind(world.use)
    with world.use.database.reading() as session:
        told = session.scalars(select(Mail).where(Mail.kind == "access_ends").order_by(Mail.id)).all()
    (mail,) = [one for one in told if "on gpt-2" in one.subject and "aurora" in one.recipient]
    link = re.search(rf"{re.escape(world.settings.public_url)}(/requests/renew/\d+)", mail.text)
    assert link is not None
    there = world.visit("cleared")
    for _ in range(2):
        shown = there.get(link[1])
        assert "Ask for renewal until" in words(shown)
    assert world.records("access_request.create") == []
    address = there.post(link[1], {}).headers["Location"]
    assert "has not decided yet" in words(there.get(address))
    again = there.get(link[1])
    assert "has requested access" in words(again)
    assert "Ask for renewal" not in words(again)
    assert there.post(link[1], {}).status_code == 409
    assert len(world.records("access_request.create")) == 1


def test_home_says_how_long_and_leads_there(sqlite_world: World) -> None:
    """One line for each clearance that ends soon; once it is asked for, the line says so."""
    world = sqlite_world
    assert "Renew" not in words(world.visit("cleared").get("/"))
    near_its_end(world, 12)
    there = world.visit("cleared")
    home = there.get("/")
    assert "ends in 12 days" in words(home)
    assert 'href="/requests/renew/1"' in home.text
    there.post("/requests/renew/1", {})
    home = there.get("/")
    assert "You have requested it for longer" in words(home)
    assert 'href="/requests/renew/1"' not in home.text


def test_a_member_may_ask_and_the_lab_s_people_may_not(sqlite_world: World) -> None:
    """Whoever may request access may request it again."""
    world = sqlite_world
    world.add_person("aurora-institute", "member@aurora-institute.example", Role.MEMBER)
    member = visit(world.client.application, world.use, "member@aurora-institute.example")
    assert member.post("/requests/renew/1", {}).status_code == 303
    assert world.visit("admin").get("/requests/renew/1").status_code == 403


def test_what_cannot_be_renewed_says_why(sqlite_world: World) -> None:
    """And leads to a request."""
    world = sqlite_world
    clearances.revoke(world.use, world.admin, 1)
    there = world.visit("cleared")
    shown = words(there.get("/requests/renew/1"))
    assert "Clearance 1 is revoked, so it cannot be renewed." in shown
    assert "Ask for renewal" not in shown
    assert there.post("/requests/renew/1", {}).status_code == 409
    assert there.get("/requests/renew/4711").status_code == 404


def test_the_admin_sees_what_was_taken_since_it_was_granted(sqlite_world: World) -> None:
    """The request says that it is a renewal of what, and how much of the model the organization took meanwhile."""
    world = sqlite_world
    for _ in range(2):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    issuing.issue(world.use, world.caller("cleared"), world.order("mini-gpt/base"))  # of another model
    world.visit("cleared").post("/requests/renew/1", {})
    with world.use.database.reading() as session:
        asked = access_requests.open_for(session, world.person("cleared"), "gpt-2")
    assert asked is not None
    shown = words(world.visit("admin").get(f"/admin/requests/{asked.id}"))
    assert "Aurora Institute requests to renew research on gpt-2" in shown
    assert re.search("Clearance 1 ?, active", shown, re.IGNORECASE), shown
    assert "2 downloads of gpt-2" in shown


def test_what_a_renewal_takes_is_said_before_it_is_asked_for(sqlite_world: World) -> None:
    """Without a report there is no button; with one the admins see it beside the request."""
    world = sqlite_world
    tiers.edit(world.use, world.admin, "research", report_to_renew=True)
    there = world.visit("cleared")
    shown = words(there.get("/requests/renew/1"))
    assert "Renewing research on gpt-2 takes a report since" in shown
    assert "Ask for renewal" not in shown
    assert there.post("/requests/renew/1", {}).status_code == 409
    report(world, title="Nothing in the names of people")
    assert "Nothing in the names of people" in words(there.get("/requests/renew/1"))
    address = there.post("/requests/renew/1", {}).headers["Location"]
    shown = words(world.visit("admin2").get(f"/admin{address}"))
    assert "Nothing in the names of people (bias, low, open)" in shown
