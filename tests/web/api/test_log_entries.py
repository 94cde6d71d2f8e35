"""Reading entries over HTTP: what is shown can be checked, and nothing is shown to others."""

import base64
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from server.domain.downloads import issuing
from server.domain.identity import tokens
from server.domain.permissions import Scope
from server.log import entries
from server.log.entries import commitment_of
from tests import tampering
from tests.web.problems import require_problem
from tests.world import World

ITEM = {"id", "index", "kind", "time", "stage", "code", "record", "salt", "commitment"}


def read(world: World, query: str = "", token: str = "cleared") -> Any:
    answer = world.api("GET", f"/log/entries{query}", token)
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"items", "next_cursor"}
    return answer.json


def test_an_item_opens_its_commitment(world: World) -> None:
    """Record and salt are the exact ones; its place is told once it is sealed."""
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    (entry,) = world.entries("download")
    (item,) = read(world, "?kind=download")["items"]
    assert set(item) == ITEM
    salt, commitment = (base64.b64decode(item[name]) for name in ("salt", "commitment"))
    assert commitment_of(salt, item["record"].encode()) == commitment == entry.commitment
    record = orjson.loads(item["record"])
    assert item["time"] == f"{entry.appended_at:%Y-%m-%dT%H:%M:%SZ}"
    assert (item["id"], item["index"], item["kind"], item["stage"], item["code"]) == (
        entry.id, None, record["kind"], "gpt-2/774M", None
    )  # fmt: skip
    world.seal()
    assert read(world, "?kind=download")["items"] == [item | {"index": len(world.entries()) - 1}]


def test_an_entry_that_was_emptied_is_shown_so(sqlite_world: World) -> None:
    """Its place and its commitment stay."""
    world = sqlite_world
    world.tampered = True
    tampering.run(
        world.settings.database_url, "UPDATE log_entries SET record = x'', salt = x'' WHERE kind = 'tier.add'"
    )
    items = read(world, "?kind=tier.add", "auditor")["items"]
    assert [(item["record"], item["salt"], len(base64.b64decode(item["commitment"]))) for item in items] == [
        ("", "", 32)
    ] * 3


def test_a_partner_reads_its_own_and_an_auditor_all(world: World) -> None:
    """Another organization is unknown, whether there is one or not; without sign-in there is nothing."""
    every = [entry.id for entry in reversed(world.entries())]
    assert [item["id"] for item in read(world, "?limit=200", "auditor")["items"]] == every
    mine = world.person("cleared").organization_id
    own = [entry.id for entry in reversed(world.entries()) if entry.organization_id == mine]
    assert [item["id"] for item in read(world, "?limit=200")["items"]] == own
    assert 0 < len(own) < len(every)
    for slug in ("birch-university", "nobody"):
        require_problem(world.api("GET", f"/log/entries?organization={slug}"), 404, "not_found")
    assert read(world, "?organization=aurora-institute&limit=200") == read(world, "?limit=200")
    assert read(world, "?organization=birch-university", "auditor")["items"] != []
    require_problem(world.api("GET", "/log/entries?organization=nobody", "auditor"), 404, "not_found")
    require_problem(world.api("GET", "/log/entries", None), 401, "authentication_required")


def test_a_token_needs_its_scope(sqlite_world: World) -> None:
    """One that was made for downloading does not read the log."""
    for scopes in ((Scope.DOWNLOADS_CREATE,), (Scope.STAGES_READ,)):
        made = tokens.create(sqlite_world.use, sqlite_world.person("cleared"), "narrow", scopes, timedelta(days=1))
        require_problem(sqlite_world.api("GET", "/log/entries", made.text), 403, "insufficient_scope")
    made = tokens.create(sqlite_world.use, sqlite_world.person("cleared"), "log", (Scope.LOG_READ,), timedelta(days=1))
    assert read(sqlite_world, "", made.text)["items"] != []


def test_pages_go_on_where_they_ended_while_the_log_grows(world: World) -> None:
    """Every entry that was there at the beginning comes once, whatever is appended meanwhile."""
    before = [entry.id for entry in reversed(world.entries())]
    found: list[int] = []
    cursor = ""
    while True:
        answer = read(world, f"?limit=9{cursor}", "auditor")
        found += [item["id"] for item in answer["items"]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={answer['next_cursor']}"
        with world.use.database.transaction() as session:
            entries.append(session, kind="test", at=world.clock(), record={})
    assert found == before


def test_each_filter_narrows(world: World) -> None:
    """By itself and with others; times with any zone."""
    with world.use.database.transaction() as session:
        world.tampered = True  # an alarm about no download
        told = {"alarm": "ghost_read"}
        entries.append(session, kind="alarm", code="ghost_read", at=world.clock(), record=told, stage="gpt-2/774M")
    alarm = world.entries()[-1]
    at = alarm.appended_at
    since, until = at.isoformat(), (at + timedelta(microseconds=1)).isoformat()
    elsewhere = quote(at.isoformat().replace("+00:00", "-00:00"))
    for query in (
        "kind=alarm", "code=ghost_read", "kind=alarm&code=ghost_read&stage=gpt-2/774M", f"since={quote(since)}",
        f"since={quote(since)}&until={quote(until)}", f"since={elsewhere}", f"kind=alarm&until={quote(until)}",
    ):  # fmt: skip
        assert [item["id"] for item in read(world, f"?{query}", "auditor")["items"]] == [alarm.id], query
    for query in ("kind=hold.place&stage=355M", f"until={quote(since)}&code=ghost_read"):
        assert read(world, f"?{query}", "auditor")["items"] == []
    assert [item["id"] for item in read(world, "?kind=Alarm+raised&stage=774M", "auditor")["items"]] == [alarm.id]
    for query in ("kind=alarms", "kind=alarm&person=nobody@example.org", "stage=nothing"):
        require_problem(world.api("GET", f"/log/entries?{query}", "auditor"), 404, "not_found")
    (first, *_) = read(world, "?person=owner@aurora-institute.example", "auditor")["items"]
    assert orjson.loads(first["record"])["actor"]["person"] == "owner@aurora-institute.example"


BAD = [
    "since=yesterday", "since=2026-01-31", "since=2026-01-31T00:00:00", "since=1767225600", "since=", "since=now",
    "since=2026-13-01T00:00:00Z", "since=2026-01-31T25:00:00Z", "since=2026-01-31T00:00:00+01:00",  # '+' is a space
    "since=0001-01-01T00:00:00Z", "since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59Z",
    "until=9999-12-31T23:59:59-14:00", "until=1e9", "until=NaN", "until=-1",
    "kind=", "person=", "stage=", "code=", "organization=", f"kind={'x' * 255}",
    "kind=%00", "person=a%00b", "stage=%00", "code=%00", "organization=%00", "kind=a%0Ab",
    "limit=0", "limit=201", "limit=x", "limit=-1", "limit=1.5", "cursor=x", "cursor=-1", "cursor=99999999999999999999",
    "cursor=9223372036854775808", "kinds=download", "kind=download&kind=alarm", "after=1",
]  # fmt: skip


@pytest.mark.parametrize("token", ["auditor", "cleared"])
def test_what_is_no_filter_is_refused(sqlite_world: World, token: str) -> None:
    """As the caller's mistake, in words; never as a failure of ours, and never as an empty answer."""
    for query in BAD:
        require_problem(sqlite_world.api("GET", f"/log/entries?{query}", token), 400, "invalid_request")


def test_the_widest_times_are_allowed(world: World) -> None:
    """From the first second that a computer counts to a time that nobody will see."""
    every = read(world, "?limit=200", "auditor")["items"]
    assert read(world, "?limit=200&since=1970-01-01T00:00:00Z", "auditor")["items"] == every
    assert read(world, "?limit=200&until=8999-12-31T23:59:59Z", "auditor")["items"] == every
    assert read(world, "?since=8999-12-31T23:59:59-14:00", "auditor")["items"] == []
