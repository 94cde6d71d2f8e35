"""Proposing a move in the portal: the rehearsal first, then the form, with the stage's name to confirm it."""

import pytest
from sqlalchemy import select

from server.domain.access.clearances import Clearance
from server.domain.identity.organizations import Organization
from server.domain.release.decisions import DecisionState
from tests.visits import words
from tests.world import World

WELL = {
    "public_reason": "Nothing was found.", "rationale": "Months of study.", "would_change": "A finding.",
    "confirmation": "gpt-2/1558M",
}  # fmt: skip
TO_PARTNERS = "/admin/stages/gpt-2/1558M/move/partners"


def test_the_page_rehearses_before_it_asks(sqlite_world: World) -> None:
    """Who gains access, who must still sign; and one click reminds them."""
    admin = sqlite_world.visit("admin")
    page = words(admin.get(TO_PARTNERS))
    assert "1 person in 1 organization." in page
    assert "Remind Birch University" in page
    assert admin.post("/admin/stages/gpt-2/1558M/move/remind", {"organization": "birch-university"}).status_code == 303
    again = admin.post("/admin/stages/gpt-2/1558M/move/remind", {"organization": "birch-university"})
    assert again.status_code == 409


@pytest.mark.parametrize("wrong", [{"confirmation": "gpt-2/774M"}, {"rationale": ""}, {"opens_at": "soon"}])
def test_a_proposal_needs_its_texts_and_the_stage_s_name(sqlite_world: World, wrong: dict[str, str]) -> None:
    """What was typed comes back, and nothing is proposed."""
    known = len(sqlite_world.entries("decision.propose"))
    answer = sqlite_world.visit("admin").post(TO_PARTNERS, WELL | wrong)
    assert answer.status_code == 422
    assert "Nothing was found." in answer.text
    assert len(sqlite_world.entries("decision.propose")) == known


def test_out_of_the_ladder_s_order_is_ticked(sqlite_world: World) -> None:
    """1558M public before 774M: warned, and not taken without the tick."""
    admin, address = sqlite_world.visit("admin"), "/admin/stages/gpt-2/1558M/move/public"
    assert "gpt-2/774M comes before it on the ladder and is partners." in words(admin.get(address))
    assert admin.post(address, WELL).status_code == 422
    assert admin.post(address, WELL | {"out_of_order": "y"}).status_code == 303


def test_it_is_proposed_and_leads_to_its_decision(sqlite_world: World) -> None:
    """Scheduled in UTC; nothing has moved."""
    world = sqlite_world
    at = world.clock().replace(second=0, microsecond=0)
    later = at.replace(year=at.year + 1, month=1, day=5)
    answer = world.visit("admin").post(TO_PARTNERS, WELL | {"opens_at": f"{later:%Y-%m-%dT%H:%M}"})
    record = world.records("decision.propose")[-1]
    assert answer.headers["Location"].endswith(f"/admin/decisions/{record['decision']}")
    assert record["opens_at"] == int(later.timestamp() * 1000)
    assert world.api("GET", "/stages/gpt-2/1558M", "admin").json["state"] == "planned"


def test_what_is_not_there_or_cannot_be_is_refused(sqlite_world: World) -> None:
    """No such stage, no such state, and one that it cannot reach."""
    admin = sqlite_world.visit("admin")
    assert admin.get("/admin/stages/gpt-2/9B/move/public").status_code == 404
    assert admin.get("/admin/stages/gpt-2/774M/move/planned").status_code == 404
    assert admin.get("/admin/stages/gpt-2/774M/move/partners").status_code == 409
    assert DecisionState.PROPOSED not in sqlite_world.records("decision.propose")[-1].values()


def test_of_a_long_list_the_first_are_named(sqlite_world: World) -> None:
    """And how many more there are, and what names them: with a hundred partners, the page stays one."""
    world = sqlite_world
    world.tampered = True  # partners that no entry tells of
    with world.use.database.transaction() as session:
        home = select(Organization.id).where(Organization.slug == "aurora-institute").scalar_subquery()
        known = session.scalars(select(Clearance).where(Clearance.organization_id == home)).all()[0]
        like = {column.key: getattr(known, column.key) for column in Clearance.__table__.columns}
        for number in range(1000, 1060):
            about = {"slug": f"partner-{number}", "name": f"Partner {number}", "created_at": world.clock()}
            session.add(Organization(id=number, **about))
            session.flush()
            session.add(Clearance(**like | {"id": number, "organization_id": number}))
    page = words(world.visit("admin").get(TO_PARTNERS))
    assert page.count("Partner 10") == 2 * 49  # beside Birch, each with its button
    assert "And 11 more, which weightgate-server decision rehearse gpt-2/1558M --to partners names." in page
