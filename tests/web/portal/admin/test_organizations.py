"""Organizations: everything that belongs to one, and stopping it, with what that does and what it does not."""

import re

import pytest

from server.domain.downloads import issuing
from server.domain.identity import organizations
from server.domain.release import holds
from tests.plans import plans
from tests.visits import words
from tests.world import World

AURORA = "/admin/organizations/aurora-institute"


def test_an_organization_is_added_and_its_owner_invited(sqlite_world: World) -> None:
    """From the page of the first leads the way to the second; the id of another is not taken twice."""
    world = sqlite_world
    admin = world.visit("admin")
    new = {"name": "Dover Lab", "slug": "dover-lab"}
    answer = admin.post("/admin/add-organization", new)
    assert answer.headers["Location"] == "/admin/organizations/dover-lab"
    assert "No people yet. Invite its owner." in words(admin.get(answer.headers["Location"]))
    again = admin.post("/admin/add-organization", new | {"name": "Kept words"})
    assert again.status_code == 409
    assert "Kept words" in again.text
    invitation = {"organization": "dover-lab", "email": "dora@dover-lab.example", "role": "owner"}
    assert admin.post("/admin/people/invite", invitation).status_code == 303
    page = admin.get("/admin/organizations/dover-lab")
    assert "dora@dover-lab.example" in words(page)
    assert admin.post("/admin/people/invitations/1/withdraw", {"organization": "dover-lab"}).status_code == 303
    assert "dora@dover-lab.example" not in words(admin.get("/admin/organizations/dover-lab"))
    admin.post("/admin/people/invitations/1/withdraw", {"organization": "dover-lab"})
    assert "already withdrawn" in words(admin.get("/admin/organizations/dover-lab"))


def test_organizations_are_searched_and_put_in_order(world: World) -> None:
    """By a part of name or id; newest first or by id, page by page, and by an index."""
    for number in range(70):
        organizations.add(world.use, world.admin, f"x-{number * 37 % 100:02}", f"Institute {number}")
    visit = world.visit("admin")
    found = words(visit.get("/admin/organizations?named=INSTITUTE+6"))
    assert found.count("Institute 6") == 11
    assert "No organization has this in its name" in words(visit.get("/admin/organizations?named=100%25"))
    first = visit.get("/admin/organizations?sort=id")
    following = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    pages = first.text + visit.get(f"/admin/organizations{following}").text
    slugs = re.findall(r"<code>([a-z0-9-]+)</code></td>", pages)
    assert slugs == sorted(slugs)
    assert len(slugs) == len(set(slugs)) == 74
    assert 'aria-sort="ascending"' in first.text
    assert visit.get("/admin/organizations?sort=size").status_code == 422
    for query in ("sort=id", "sort=id&cursor=3", ""):
        plans(world, None, lambda query=query: visit.get(f"/admin/organizations?{query}"))  # type: ignore[misc]


def test_its_page_has_everything_that_belongs_to_it(sqlite_world: World) -> None:
    """People, tokens, clearances, signatures, limits, bytes taken, live URLs, alarms and history."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    shown = world.visit("admin").get(AURORA)
    assert 'href="/downloads?organization=aurora-institute">Downloads of this organization</a>' in shown.text
    page = words(shown)
    for part in (
        "owner@aurora-institute.example", "cleared, demo", "gpt-2 research active", "Sol Signer, Head of Research",
        "no limit", "7 days 1 3.25 MB 0 B", "7 URLs of 1 download are still valid", "No alarms.",
        "Clearance approved", "not sealed yet",
    ):  # fmt: skip
        assert part in page, part


def test_suspending_is_a_hold_and_stops_the_next_request(sqlite_world: World) -> None:
    """It shows the URLs that live on, needs a reason, and ends when two admins have lifted it."""
    world = sqlite_world
    admin, admin2 = world.visit("admin"), world.visit("admin2")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    on = {"on": "organization:aurora-institute"}
    page = words(admin.get("/admin/holds/place", query_string=on))
    assert "What does not" in page
    assert "7 URLs of 1 download are still valid" in page
    assert admin.post("/admin/holds/place", {**on, "reason": ""}).status_code == 422
    answer = admin.post("/admin/holds/place", {**on, "reason": "A leaked link."})
    assert (answer.status_code, answer.headers["Location"]) == (303, AURORA)
    assert "A leaked link." in words(admin.get(AURORA))
    assert world.api("GET", "/stages").status_code == 403
    late = admin2.post("/admin/holds/place", {**on, "reason": "The same."})
    assert late.status_code == 409
    assert "already on hold" in words(late)
    assert "The same." in late.text
    assert admin.post("/admin/holds/propose-lift", {**on, "reason": "It was another's."}).status_code == 303
    assert world.api("GET", "/stages").status_code == 403
    assert admin2.post("/admin/holds/approve-lift", on).status_code == 303
    assert world.api("GET", "/stages").status_code == 200
    assert admin2.post("/admin/holds/approve-lift", on).status_code == 409


@pytest.mark.parametrize(
    ("typed", "kept", "shown"),
    [("1.5 TB", 1_500_000_000_000, "1500 GB"), ("", None, ""), ("1000001", 1_000_001, "1000001 B")],
)
def test_limits_are_written_with_their_unit(sqlite_world: World, typed: str, kept: int | None, shown: str) -> None:
    """What was set is shown again exactly; an empty field is no limit."""
    admin = sqlite_world.visit("admin")
    fields = {"bytes_per_day": typed, "requests_per_minute": "60"}
    assert admin.post(f"{AURORA}/quota", fields).status_code == 303
    assert sqlite_world.records("organization.quota")[-1]["bytes_per_day"] == kept
    page = admin.get(f"{AURORA}/quota").text
    assert f'value="{shown}"' in page
    assert 'value="60"' in page


@pytest.mark.parametrize("typed", ["much", "-1 GB", "0", "9999999999999999 PB", "1 gb"])
def test_a_limit_that_is_none_is_refused(sqlite_world: World, typed: str) -> None:
    """With what was typed."""
    refused = sqlite_world.visit("admin").post(f"{AURORA}/quota", {"bytes_per_day": typed, "requests_per_minute": ""})
    assert refused.status_code == 422
    assert f'value="{typed}"' in refused.text


def test_an_organization_is_renamed(world: World) -> None:
    """The form has the name as it is; what is no name is refused, and a look-alike is warned of."""
    admin = world.visit("admin")
    assert f'href="{AURORA}/rename"' in admin.get(AURORA).text
    assert 'value="Aurora Institute"' in admin.get(f"{AURORA}/rename").text
    assert admin.post(f"{AURORA}/rename", {"name": " "}).status_code == 422
    assert admin.post(f"{AURORA}/rename", {"name": "Cedar Systerns"}).status_code == 303
    page = words(admin.get(AURORA))
    assert "aurora-institute is now named Cedar Systerns." in page
    assert "Its name looks like that of Cedar Systems (cedar-systems)." in page
    assert "Organization renamed" in page


def test_networks_are_replaced_line_by_line(sqlite_world: World) -> None:
    """One that is none changes nothing."""
    admin = sqlite_world.visit("admin")
    assert admin.post(f"{AURORA}/networks", {"networks": "192.0.2.0/24\r\n2001:db8::/32"}).status_code == 303
    assert "192.0.2.0/24 2001:db8::/32" in words(admin.get(AURORA))
    refused = admin.post(f"{AURORA}/networks", {"networks": "192.0.2.1/24"})
    assert refused.status_code == 422
    assert "192.0.2.1/24" in refused.text
    assert admin.post(f"{AURORA}/networks", {"networks": ""}).status_code == 303
    assert "not registered" in words(admin.get(AURORA))


def test_the_list_is_cut_by_the_last_row_seen(sqlite_world: World) -> None:
    """The newest first, with the way to the older ones."""
    world = sqlite_world
    for number in range(50):
        world.visit("admin").post("/admin/add-organization", {"name": f"N{number}", "slug": f"n-{number}"})
    page = world.visit("admin").get("/admin/organizations")
    assert "aurora-institute" not in page.text
    older = page.text.partition('rel="next" href="')[2].partition('"')[0]
    assert "aurora-institute" in world.visit("admin").get(f"/admin/organizations{older}").text


def test_what_is_not_there_is_not_found_and_others_only_read(sqlite_world: World) -> None:
    """Whatever stands in the address; a publisher has no buttons, a partner no page, not even its own."""
    world = sqlite_world
    for path in ("nobody", "UPPER", "a%00b", "aurora-institute%2f.."):
        assert world.visit("admin").get(f"/admin/organizations/{path}").status_code == 404
        assert world.visit("admin").post(f"/admin/organizations/{path}/rename", {"name": "x"}).status_code == 404
    page = world.visit("publisher").get(AURORA)
    assert page.status_code == 200
    assert "Suspend" not in words(page)
    assert "Change limits" not in words(page)
    assert "Alarms" not in words(page).partition("Downloads")[2]
    assert world.visit("publisher").post(f"{AURORA}/rename", {"name": "x"}).status_code == 403
    assert world.visit("cleared").get(AURORA).status_code == 403
    assert holds.EVERYTHING not in page.text
