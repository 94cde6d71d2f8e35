"""Repositories: stages in lower case and by alias, tags in parts, and a door that can be closed."""

import re

from server.web import app as web
from tests.web.oci.registry import REPOSITORY, manifest
from tests.world import WatchedResources, World


def test_tags_come_in_parts(sqlite_world: World) -> None:
    every = sqlite_world.ask("GET", "/v2/mini-gpt/base/tags/list").get_json()["tags"]
    seen, address = [], "/v2/mini-gpt/base/tags/list?n=1"
    while address:
        part = sqlite_world.ask("GET", address)
        seen += part.get_json()["tags"]
        found = re.fullmatch(r'<(.+)>; rel="next"', part.headers.get("Link", ""))
        address = found[1] if found else ""
    assert seen == every
    assert sqlite_world.ask("GET", "/v2/mini-gpt/base/tags/list?n=0").get_json()["tags"] == []


def test_names_are_found_in_lower_case_and_by_alias(world: World) -> None:
    """`762M` is called 774M today: the answer says so, as at every other door."""
    answer = manifest(world, repository="/v2/gpt-2/762m")
    assert answer.headers["Warning"] == '299 - "gpt-2/762M is now called gpt-2/774M"'
    assert answer.data == manifest(world).data
    assert "Warning" not in manifest(world).headers


def test_nothing_refers_to_an_artifact(sqlite_world: World) -> None:
    """Tools that look for signatures get an empty list, not an error."""
    digest = manifest(sqlite_world).headers["Docker-Content-Digest"]
    answer = sqlite_world.ask("GET", f"{REPOSITORY}/referrers/{digest}")
    assert answer.get_json()["manifests"] == []
    assert sqlite_world.ask("GET", f"{REPOSITORY}/referrers/{digest}", "uncleared").status_code == 403


def test_the_door_can_be_closed(sqlite_world: World) -> None:
    settings = sqlite_world.settings.model_copy(update={"oci_door": False})
    closed = web.create(WatchedResources(settings, sqlite_world.clock)).test_client()
    assert closed.get("/v2/").status_code == 404
    assert closed.get("/api/v1/releases").status_code == 200
