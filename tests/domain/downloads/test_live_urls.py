"""Live URLs: counted while they work, by what issued them, and not a moment longer."""

from datetime import timedelta

import pytest

from server.domain.downloads import issuing, live_urls
from server.domain.downloads.issuing import Order
from server.domain.downloads.live_urls import LiveUrls
from server.settings import URL_LIFETIME_SECONDS_AT_MOST
from tests.plans import plans
from tests.world import World


def of(world: World, kind: str) -> LiveUrls:
    aurora = world.person("cleared").organization_id or 0
    with world.use.database.reading() as session:
        at = world.clock()
        if kind == "clearance":
            return live_urls.under_clearance(session, world.admin, 1, aurora, at)
        if kind == "other clearance":
            return live_urls.under_clearance(session, world.admin, 2, aurora, at)
        if kind == "organization":
            return live_urls.of_organization(session, world.admin, aurora, at)
        return live_urls.of_held(session, world.admin, kind, at)


def test_a_download_lives_in_every_list_that_it_belongs_to(world: World) -> None:
    """And in no other, up to the moment at which its URLs end."""
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    for kind in ("clearance", "organization", "gpt-2/774M", "gpt-2", "everything"):
        found = of(world, kind)
        assert [live.id for live in found.downloads] == [issued.id], kind
        assert (found.urls, found.until, found.more) == (len(issued.urls), issued.expires_at, False)
    for kind in ("other clearance", "gpt-2/124M", "mini-gpt"):
        assert of(world, kind) == LiveUrls([], 0, 0, None, False), kind


@pytest.mark.parametrize("lifetime_seconds", [10, URL_LIFETIME_SECONDS_AT_MOST])
def test_it_ends_with_its_urls(sqlite_world: World, lifetime_seconds: int) -> None:
    """A second before it lives, at the moment itself no more, however long settings let it live."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"url_lifetime_seconds": lifetime_seconds})
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    aurora = world.person("cleared").organization_id or 0
    with world.use.database.reading() as session:
        before, after = issued.expires_at - timedelta(seconds=1), issued.expires_at
        assert live_urls.of_organization(session, world.admin, aurora, before).count == 1
        assert live_urls.of_organization(session, world.admin, aurora, after).count == 0


def test_the_longest_living_one_says_until_when(sqlite_world: World) -> None:
    """Whoever issued under which clearance: URLs of files are added up."""
    world = sqlite_world
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.clock.advance(timedelta(seconds=20))
    second = issuing.issue(world.use, world.caller("cleared"), Order("mini-gpt/base", paths=["config.json"]))
    found = of(world, "organization")
    assert (found.count, found.urls, found.until) == (2, 8, second.expires_at)
    assert found.downloads[0].stage == "mini-gpt/base"


def test_more_than_are_looked_at_are_said_to_be_more(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is then of the newest, and is not passed off as all."""
    world = sqlite_world
    for _ in range(3):
        issuing.issue(world.use, world.caller("cleared"), Order("mini-gpt/base", paths=["config.json"]))
    monkeypatch.setattr(live_urls, "LOOKED_AT_ONCE", 2)
    found = of(world, "organization")
    assert (found.count, found.more) == (2, True)


@pytest.mark.parametrize(
    ("page", "indexes"),
    [  # to cut an organization's URLs is to cut everybody's, so its page asks for both
        ("holds/place?on=organization:aurora-institute", ["organization_id_id", "kind_id"]),
        ("holds/place?on=everything", ["kind_id"]),
        ("holds/place?on=gpt-2/774M", ["stage_id"]),
        ("stages/gpt-2/774M", ["stage_id"]),
    ],
)
def test_the_young_entries_are_found_on_an_index(world: World, page: str, indexes: list[str]) -> None:
    """However long the log is; what is asked is what a page asks."""
    found = plans(world, "log_entries", lambda: world.visit("admin").get(f"/admin/{page}"))
    used = {index for index in indexes for plan in found if f"ix_log_entries_{index} " in plan}
    assert world.kind == "postgresql" or used == set(indexes)
    allowed = [*indexes, "subject"]  # of the few whose keys the store made, by their IDs
    assert world.kind == "postgresql" or [p for p in found if not any(index in p for index in allowed)] == []
