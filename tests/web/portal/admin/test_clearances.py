"""Clearances: two steps from the start, each act on a page of its own, and one of two who decide at once sees why."""

import re
from datetime import timedelta
from functools import partial

import pytest

from server.domain.access import access_requests, clearances
from server.domain.access.clearances import STATES, ClearanceFilter
from server.domain.downloads import issuing
from server.domain.paging import Slice
from server.domain.release import stages
from tests.plans import plans
from tests.visits import words
from tests.world import World

YEAR = {"last_day": "2030-08-20"}
PROPOSAL = {"organization": "cedar-systems", "model": "gpt-2", "tier": "partner", "purpose": "Study.", **YEAR}


def propose(world: World, **more: str) -> str:
    """As the first admin; returns the address of what was proposed."""
    answer = world.visit("admin").post("/admin/clearances/propose", PROPOSAL | more)
    assert answer.status_code == 303
    return answer.headers["Location"]


def test_two_admins_open_a_stage(sqlite_world: World) -> None:
    """One proposes, the other approves; the proposer cannot, also not by sending the form."""
    world = sqlite_world
    address = propose(world)
    proposer, other = world.visit("admin"), world.visit("admin2")
    page = proposer.get(address)
    assert "you cannot approve it" in words(page)
    assert "Approve clearance" not in words(page)
    refused = proposer.post(f"{address}/approve")
    assert refused.status_code == 409
    assert "another admin must" in words(refused)
    assert "Approve clearance" in words(other.get(address))
    assert other.post(f"{address}/approve").status_code == 303
    assert "active" in words(other.get(address))
    assert [record["actor"]["person"] for record in world.records("clearance.approve")[-1:]] == [world.admin2.person]


def test_the_second_of_two_who_decide_sees_the_present_state(sqlite_world: World) -> None:
    """Approving what is approved, and revoking what is revoked, is a page that says so."""
    world = sqlite_world
    address = propose(world)
    world.visit("admin2").post(f"{address}/approve")
    late = world.visit("admin2").post(f"{address}/approve")
    assert late.status_code == 409
    assert "is active: only a proposed clearance can be approved" in words(late)
    typed = {"confirmation": "cedar-systems", "because": "The study has ended."}
    assert world.visit("admin").post(f"{address}/revoke", typed).status_code == 303
    late = world.visit("admin2").post(f"{address}/revoke", typed)
    assert late.status_code == 409
    assert "already revoked" in words(late)


def test_revoking_shows_the_urls_that_still_work_and_asks_for_the_name(sqlite_world: World) -> None:
    """A wrong name changes nothing and keeps what was typed; the right one ends it at once."""
    world = sqlite_world
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    admin = world.visit("admin")
    page = admin.get("/admin/clearances/1/revoke")
    assert f"{len(issued.urls)} URLs of 1 download are still valid" in words(page)
    assert issued.expires_at.strftime("%H:%M:%S UTC") in words(page)
    wrong = admin.post("/admin/clearances/1/revoke", {"confirmation": "aurora"})
    assert wrong.status_code == 422
    assert 'value="aurora"' in wrong.text
    assert "active" in words(admin.get("/admin/clearances/1"))
    typed = {"confirmation": "aurora-institute", "because": "The study has ended."}
    assert admin.post("/admin/clearances/1/revoke", {**typed, "because": ""}).status_code == 422
    assert admin.post("/admin/clearances/1/revoke", typed).status_code == 303
    page = admin.get("/admin/clearances/1")
    assert "revoked" in words(page)
    assert "still valid" in words(page)
    assert world.api("POST", "/downloads", json={"stage": "gpt-2/774M"}).status_code == 403


def test_extending_proposes_a_clearance_of_its_own(sqlite_world: World) -> None:
    """With a later end and under the same rules; the old one stays as it is."""
    world = sqlite_world
    admin = world.visit("admin")
    early = admin.post("/admin/clearances/1/extend", {"last_day": "2019-08-20"})
    assert early.status_code == 422
    assert "must be later" in words(early)
    answer = admin.post("/admin/clearances/1/extend", {"last_day": "2031-01-31"})
    assert answer.status_code == 303
    page = admin.get(answer.headers["Location"])
    assert "proposed" in words(page)
    assert "31 January 2031" in words(page)
    assert world.records("clearance.propose")[-1]["extends"] == 1
    assert "active" in words(admin.get("/admin/clearances/1"))


def test_a_refused_proposal_keeps_what_was_typed(sqlite_world: World) -> None:
    """Whatever was wrong with it, and says what."""
    admin = sqlite_world.visit("admin")
    for fault, said in (
        ({"organization": "nobody"}, "There is no organization nobody"),
        ({"organization": "x\0y"}, "unsupported character"),
        ({"tier": "root"}, "Not a valid choice"),
        ({"last_day": "2019-01-01"}, "must end after it starts"),
        ({"last_day": "9999-12-31"}, "Enter a date no later than the year"),
        ({"last_day": "tomorrow"}, "Not a valid date"),
        ({"purpose": "x" * 10_001}, "Use 10000 characters or fewer. This has 10001."),
        ({"purpose": " "}, "Enter what the organization needs it for"),
    ):
        answer = admin.post("/admin/clearances/propose", PROPOSAL | {"purpose": "Kept words."} | fault)
        assert answer.status_code == 422, fault
        assert said in words(answer)
        assert "purpose" in fault or "Kept words." in answer.text
    assert admin.post("/admin/clearances/propose", {}).status_code == 422


def test_the_same_proposal_twice_is_proposed_once(sqlite_world: World) -> None:
    """A double click, or the back button."""
    world = sqlite_world
    propose(world)
    again = world.visit("admin").post("/admin/clearances/propose", PROPOSAL)
    assert again.status_code == 409
    assert "already gives this tier" in words(again)
    assert len(world.records("clearance.propose")) == 5


def test_the_filters_live_in_the_address(sqlite_world: World) -> None:
    """Each narrows the list; what they cannot mean is said at the field."""
    world = sqlite_world
    propose(world)
    admin = world.visit("admin")
    only = admin.get("/admin/clearances?state=proposed&organization=cedar-systems&model=gpt-2")
    assert "1 active" not in words(only)
    assert only.text.count('href="/admin/organizations/cedar-systems"') == 1
    assert 'href="/admin/organizations/aurora-institute"' not in only.text
    assert admin.get("/admin/clearances?organization=nobody").status_code == 422
    assert admin.get("/admin/clearances?state=nonsense").status_code == 422
    assert admin.get("/admin/clearances?cursor=x").status_code == 400
    empty = words(admin.get("/admin/clearances?state=upcoming"))
    assert "No clearances match these filters" in empty


def test_the_states_for_the_database_are_those_for_people(world: World) -> None:
    """Each clearance is in exactly the list of its own state."""
    at = world.clock()
    for number, (starts, ends) in enumerate(((0, 5), (1, 6), (0, 0.5))):
        made = clearances.propose(
            world.use, world.admin, "cedar-systems", "gpt-2", "research", purpose=f"Study {number}.",
            starts_at=at + timedelta(days=starts), expires_at=at + timedelta(days=ends),
        )  # fmt: skip
        clearances.approve(world.use, world.admin2, made.id)
    clearances.revoke(world.use, world.admin, 1)
    later = at + timedelta(hours=20)
    with world.use.database.reading() as session:
        for state in STATES:
            found = clearances.listed(session, world.admin, ClearanceFilter(state=state), Slice(50), later).items
            assert {one.state_at(later) for one in found} <= {state}
        every = clearances.listed(session, world.admin, ClearanceFilter(), Slice(50), later).items
        assert {one.state_at(later) for one in every} == {"revoked", "expired", "upcoming", "active"}
        stage = stages.get(session, "gpt-2/774M")
        opening = clearances.opening(session, world.admin, stage, Slice(50), later).items
        assert {one.organization.slug for one in opening} == {"birch-university", "cedar-systems"}


def test_the_list_is_put_in_the_order_of_last_days(world: World) -> None:
    """By a click on the column's head, which keeps the filters; page by page nothing is missing or told twice."""
    for days in (400, 3, 200):
        ends = world.clock() + timedelta(days=days)
        clearances.propose(world.use, world.admin, "cedar-systems", "gpt-2", "research", expires_at=ends, purpose="x")
    admin = world.visit("admin")
    plain = admin.get("/admin/clearances?organization=cedar-systems")
    assert 'href="?organization=cedar-systems&amp;sort=last_day">Last day</a>' in plain.text
    by_last_day = admin.get("/admin/clearances?organization=cedar-systems&sort=last_day")
    assert '<th role="columnheader" scope="col" aria-sort="ascending">Last day</th>' in by_last_day.text
    last_days = re.findall(r'<time datetime="([^"]+)" title="ends', by_last_day.text)
    assert last_days == sorted(last_days)
    assert len(last_days) == 3
    with world.use.database.reading() as session:
        listed = partial(clearances.listed, session, world.admin, ClearanceFilter(), at=world.clock(), by_last_day=True)
        whole, one_by_one = listed(part=Slice(50)).items, list[clearances.Clearance]()
        part: Slice | None = Slice(1)
        while part is not None:
            found = listed(part=part)
            one_by_one += found.items
            part = None if found.next_after is None else Slice(1, found.next_after)
    assert one_by_one == whole == sorted(whole, key=lambda one: (one.expires_at, one.id))
    assert admin.get("/admin/clearances?sort=nonsense").status_code == 422


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("sort=last_day", "ix_clearances_expires_at_id"),
        ("organization=cedar-systems", "ix_clearances_organization_id_id"),
        ("model=gpt-2", "ix_clearances_model_id_id"),
        ("state=proposed", "ix_clearances_proposed"),
        ("state=expired", "PRIMARY KEY"),
    ],
)
def test_each_list_stands_on_an_index(world: World, wanted: str, index: str) -> None:
    """So that a page costs the same however many there are."""
    found = plans(world, "clearances", lambda: world.visit("admin").get(f"/admin/clearances?{wanted}&cursor=3"))
    assert world.kind == "postgresql" or all(index in plan for plan in found)


def test_who_may_only_read_sees_no_buttons_and_partners_no_page(sqlite_world: World) -> None:
    """A publisher reads and can do nothing; a partner is refused, and a stranger signs in first."""
    world = sqlite_world
    address = propose(world)
    publisher = world.visit("publisher")
    page = publisher.get(address)
    assert page.status_code == 200
    assert not {"Approve clearance", "Extend", "Revoke clearance…"} & set(words(page).split("  "))
    assert "/revoke" not in page.text
    for act in ("approve", "revoke", "extend"):
        assert publisher.post(f"{address}/{act}").status_code == 403
        assert world.visit("cleared").post(f"{address}/{act}").status_code == 403
    assert world.visit("cleared").get("/admin/clearances").status_code == 403
    assert world.visit(None).get("/admin/clearances").status_code == 303
    for unknown in ("/admin/clearances/999", f"/admin/clearances/{2**70}", "/admin/clearances/x"):
        assert world.visit("admin").get(unknown).status_code == 404


def test_an_act_needs_a_fresh_sign_in(sqlite_world: World) -> None:
    """Somebody who proved themselves long ago is asked to do it again; nothing happens before."""
    world = sqlite_world
    address = propose(world)
    other = world.visit("admin2")
    other.grow_stale()
    assert other.post(f"{address}/approve").status_code not in {200, 303}
    assert len(world.records("clearance.approve")) == 4


def test_the_second_admin_reads_who_asked_and_who_proposed(sqlite_world: World) -> None:
    """With the request itself one click away: what is approved is what was asked for."""
    world = sqlite_world
    asked = access_requests.create(
        world.use, world.person("uncleared"), "gpt-2", "research", purpose="We study\nbias.",
        wanted_until=world.clock() + timedelta(days=30),
    )  # fmt: skip
    made = access_requests.approve(world.use, world.admin, asked.id).clearance
    assert made is not None
    page = world.visit("admin2").get(f"/admin/clearances/{made.id}")
    for name in ("uncleared", "admin"):
        assert world.example.people[name]["email"] in words(page)
    assert f'href="/admin/requests/{asked.id}">Request {asked.id}</a>' in page.text
    assert '<span class="typed">We study\nbias.</span>' in page.text
    assert "Requested by" not in words(world.visit("admin").get("/admin/clearances/1"))


def test_revoking_names_what_goes_on_and_can_end_it(sqlite_world: World) -> None:
    """Another clearance on the model stays unless its box is checked; where there is none, there is no box."""
    world = sqlite_world
    admin = world.visit("admin")
    assert "with_others" not in admin.get("/admin/clearances/1/revoke").text
    more = clearances.propose(
        world.use, world.admin, "aurora-institute", "gpt-2", "partner",
        expires_at=world.clock() + timedelta(days=30), purpose="Study.",
    )  # fmt: skip
    clearances.approve(world.use, world.admin2, more.id)
    assert f"Access continues under clearance {more.id}" in words(admin.get("/admin/clearances/1/revoke"))
    assert "This organization also has clearance 1" in words(admin.get(f"/admin/clearances/{more.id}"))
    typed = {"confirmation": "aurora-institute", "because": "The study has ended.", "with_others": "y"}
    assert admin.post("/admin/clearances/1/revoke", typed).status_code == 303
    page = words(admin.get(f"/admin/clearances/{more.id}"))
    assert "revoked" in page
    assert "The study has ended." in page
