"""Organizations: added, suspended, resumed, limited; each knows itself."""

from typing import Any

import pytest

from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible, OrganizationSuspended, Refused
from server.domain.identity import organizations
from server.domain.identity.organizations import Quota
from server.domain.operation import carrying_out
from server.domain.paging import Slice
from server.domain.release import holds
from tests.world import World

BAD_SLUGS = ["", " ", "Upper", "a b", "-a", "a/b", "é", "x" * 65, "a\n"]


def test_an_organization_needs_an_id_of_its_own_and_a_name(sqlite_world: World) -> None:
    """Ids are a-z, 0-9 and '-', and are taken once."""
    bad: list[tuple[str, str, type[Refused]]] = [
        *((slug, "A name", InvalidRequest) for slug in BAD_SLUGS),
        ("new", " ", InvalidRequest), ("new", "x" * 201, InvalidRequest), ("cedar-systems", "A name", NotPossible),
    ]  # fmt: skip
    for slug, name, code in bad:
        with pytest.raises(code):
            organizations.add(sqlite_world.use, sqlite_world.admin, slug, name)


def test_a_new_partner_is_no_lab_and_has_no_limits(world: World) -> None:
    """Being there opens nothing; limits come when an admin sets them."""
    made = organizations.add(world.use, world.admin, "new-partner", " New Partner ")
    assert (made.is_lab, made.name, made.suspended_at) == (False, "New Partner", None)
    with world.use.database.reading() as session:
        quota = session.get_one(Quota, made.id)
        assert (quota.bytes_per_day, quota.requests_per_minute) == (None, None)
    assert world.records("organization.add")[-1]["organization"] == "new-partner"


def test_a_suspension_ends_everything_until_it_is_resumed(world: World) -> None:
    """Tokens stay, and work again afterwards; each act is done once and logged with its reason."""
    holds.place(world.use, world.admin, "organization:aurora-institute", "For a test.")
    with pytest.raises(NotPossible):
        holds.place(world.use, world.admin, "organization:aurora-institute", "Again.")
    answer = world.api("GET", "/me")
    assert (answer.status_code, answer.json["code"]) == (403, OrganizationSuspended.code)
    world.lift("organization:aurora-institute")
    with pytest.raises(NotPossible):
        world.lift("organization:aurora-institute")
    assert world.api("GET", "/me").status_code == 200
    assert world.records("hold.place")[-1]["reason"] == "For a test."
    assert [entry.kind for entry in world.entries()][-1] == "hold.lift"


@pytest.mark.parametrize("reason", ["", " ", "x" * 10_001])
def test_a_suspension_has_a_reason_that_both_databases_hold(world: World, reason: str) -> None:
    """Neither none nor too long a one, on either database."""
    with pytest.raises(InvalidRequest):
        holds.place(world.use, world.admin, "organization:aurora-institute", reason)


def test_the_lab_cannot_be_suspended(world: World) -> None:
    """Nobody could undo it."""
    with pytest.raises(NotPossible):
        holds.place(world.use, world.admin, "organization:example-lab", "For a test.")


def test_an_organization_s_name_is_one_line(sqlite_world: World) -> None:
    """Mails and signed copies quote it: a second line would read as ours."""
    for name in ("", " ", "x" * 201, "New\n\nOpen https://x.example"):
        with pytest.raises(InvalidRequest):
            organizations.add(sqlite_world.use, sqlite_world.admin, "new", name)
        with pytest.raises(InvalidRequest):
            organizations.rename(sqlite_world.use, sqlite_world.admin, "cedar-systems", name)


def test_a_new_name_is_logged_once_and_the_id_stays(world: World) -> None:
    """The same name again is no act; the lab has one as well."""
    for slug in ("cedar-systems", "example-lab"):
        for _ in range(2):
            renamed = organizations.rename(world.use, world.admin, slug, f" New {slug} ")
            assert (renamed.slug, renamed.name) == (slug, f"New {slug}")
    told = [(record["organization"], record["name"]) for record in world.records("organization.rename")]
    assert told == [("cedar-systems", "New cedar-systems"), ("example-lab", "New example-lab")]
    with pytest.raises(NotFound):
        organizations.rename(world.use, world.admin, "nobody", "A name")


def test_setting_limits_replaces_them_and_is_logged(world: World) -> None:
    """None takes the limit of requests away; that of bytes takes two."""
    for limits in (
        {"bytes_per_day": 5, "requests_per_minute": 7},
        {"bytes_per_day": 6, "requests_per_minute": None},
    ):
        carrying_out.set_quota(world.use, world.admin, "aurora-institute", **limits)
        record = world.records("organization.quota")[-1]
        assert record | limits == record
        with world.use.database.reading() as session:
            quota = session.get_one(Quota, world.person("cleared").organization_id)
            assert (quota.bytes_per_day, quota.requests_per_minute) == tuple(limits.values())


@pytest.mark.parametrize("by", ["publisher", "auditor", "cleared"])
def test_only_admins_manage_organizations(sqlite_world: World, by: str) -> None:
    """No partner lifts its own limit or suspension."""
    world, caller = sqlite_world, sqlite_world.person(by)
    acts: list[Any] = [
        lambda: organizations.add(world.use, caller, "new", "New"),
        lambda: organizations.rename(world.use, caller, "cedar-systems", "New"),
        lambda: holds.place(world.use, caller, "organization:cedar-systems", "Because."),
        lambda: carrying_out.set_quota(
            world.use, caller, "cedar-systems", bytes_per_day=None, requests_per_minute=None
        ),
    ]
    for act in acts:
        with pytest.raises(NotPermitted):
            act()


def test_an_unknown_organization_is_not_found(sqlite_world: World) -> None:
    """No act on nobody."""
    with pytest.raises(NotFound):
        holds.place(sqlite_world.use, sqlite_world.admin, "organization:nobody", "Because.")


def test_a_partner_sees_itself_and_staff_see_all(world: World) -> None:
    """Who the other partners are is the lab's knowledge."""
    seen = {}
    for name in ("cleared", "auditor"):
        with world.use.database.reading() as session:
            page = organizations.visible(session, world.person(name), Slice(100))
            seen[name] = {row.slug for row in page.items}
    partners = {"aurora-institute", "birch-university", "cedar-systems"}
    assert seen == {"cleared": {"aurora-institute"}, "auditor": partners | {"example-lab"}}
