"""Every list of the portal and of the API: a page of it is read from an index, in its own order, and says when."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from server.domain.permissions import Role
from server.web.portal.kit.paging import ROWS
from tests.matrix import API, PAGES, Row
from tests.plans import plans
from tests.test_bad_forms import PRETEND
from tests.world import DATABASES, World

LOOKERS: dict[str, Role] = {"cleared": Role.OWNER, "admin": Role.ADMIN, "auditor": Role.AUDITOR}


@pytest.mark.parametrize("their_world", DATABASES, indirect=True)
@pytest.mark.parametrize("name", LOOKERS)
def test_each_list_is_read_from_an_index(their_world: World, theirs: dict[str, Any], name: str) -> None:
    """At its start and farther down, by whoever may look; a new list is among them without being named here."""
    here = their_world.visit(name)
    found = lists_of(their_world, name, theirs, PAGES, here.get)
    assert {"/tokens", "/downloads", "/account/sessions"} <= found


@pytest.mark.parametrize("their_world", DATABASES, indirect=True)
@pytest.mark.parametrize("name", ["cleared", "auditor"])
def test_each_list_of_the_api_is_read_from_an_index(their_world: World, theirs: dict[str, Any], name: str) -> None:
    """With a token."""

    def get(path: str) -> Any:
        return their_world.api("GET", path.removeprefix("/api/v1"), name)

    found = lists_of(their_world, name, theirs, API, get)
    assert {"/api/v1/tokens", "/api/v1/downloads", "/api/v1/stages/<model>/<stage>/checkpoints"} <= found


def lists_of(
    world: World, name: str, known: dict[str, Any], rows: list[Row], get: Callable[[str], TestResponse]
) -> set[str]:
    """Look at the plans of each list among some routes; return which had one."""
    found = set()
    for row in rows:
        if row.method != "GET" or row.permission is None or row.refuses(LOOKERS[name]):
            continue
        address = row.address(known)
        # Whatever begins where the address says refuses a place that it never gave out.
        refused = get(f"{address}?cursor=nowhere")
        if refused.status_code != 400 or "no query parameters" in refused.text:
            continue
        found.add(row.rule)
        for part in ("", "&cursor=1000000"):
            path = f"{address}?limit={ROWS}{part}" if row in API else address + part.replace("&", "?")
            plans(world, None, lambda path=path: get(path))  # type: ignore[misc]
    return found


MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
AGO = r"(?:\d+|an?) (?:second|minute|hour|day)s?"
SAID = re.compile(rf"\b\d{{1,2}} (?:{MONTHS}) \d{{4}}|\b{AGO} ago|\bin {AGO}\b")


@pytest.mark.parametrize("name", LOOKERS)
def test_a_list_says_each_moment_exactly_as_well(their_world: World, theirs: dict[str, Any], name: str) -> None:
    """`3 days ago` and `20 August 2026` stand in a <time>, which has the moment; programs and a mouse find it there."""
    known, here = theirs | PRETEND, their_world.visit(name)
    said = 0
    for row in PAGES:
        if row.method != "GET" or row.refuses(LOOKERS[name]):
            continue
        for table in re.findall(r"<tbody.*?</tbody>", here.get(row.address(known)).text, re.DOTALL):
            moments = re.findall(r"<time datetime=[^>]*>.*?</time>", table, re.DOTALL)
            said += len(moments)
            plain = re.sub(r"<time .*?</time>|<[^>]*>", " ", table, flags=re.DOTALL)
            assert SAID.findall(plain) == [], row.rule
    assert said > 20
