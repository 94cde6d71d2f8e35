"""The app as a whole: which routes there are, and who gets what from each."""

from typing import Any

import pytest
from werkzeug.routing import Rule

from server.domain.permissions import Permission
from tests import s3
from tests.world import World

CALLERS = ("admin", "auditor", "publisher", "cleared", "unsigned", "uncleared", "expired", None)
NO_DOWNLOAD = "01a2085b-32d1-7f32-b637-be648e3e2e95"
HELD = "/stages/gpt-2/774M/checkpoints"
PLANNED = "/stages/gpt-2/1558M"
ABOVE = "/stages/mini-gpt/large/checkpoints"
# Written by hand: what each caller of the example gets, in the order of CALLERS.
MATRIX = {
    "/me": (200, 200, 200, 200, 200, 200, 401, 401),
    "/stages": (200, 200, 200, 200, 200, 200, 401, 200),
    "/stages/gpt-2/124M": (200, 200, 200, 200, 200, 200, 401, 200),
    "/stages/gpt-2/117M": (200, 200, 200, 200, 200, 200, 401, 200),  # an alias
    "/stages/gpt-2/774M": (200, 200, 200, 200, 200, 200, 401, 401),
    PLANNED: (200, 200, 200, 200, 200, 200, 401, 401),  # announced: its name and plan
    "/stages/gpt-2/775M": (404, 404, 404, 404, 404, 404, 401, 401),
    "/stages/gpt-2/124M/checkpoints": (200, 200, 200, 200, 200, 200, 401, 200),
    "/stages/gpt-2/124M/checkpoints/main": (200, 200, 200, 200, 200, 200, 401, 200),
    "/stages/gpt-2/124M/checkpoints/main/manifest": (200, 200, 200, 200, 200, 200, 401, 200),
    "/stages/gpt-2/124M/checkpoints/main/SHA256SUMS": (200, 200, 200, 200, 200, 200, 401, 200),
    HELD: (200, 200, 200, 200, 403, 403, 401, 401),
    f"{HELD}/main": (200, 200, 200, 200, 403, 403, 401, 401),
    f"{HELD}/main/manifest": (200, 200, 200, 200, 403, 403, 401, 401),
    f"{HELD}/main/manifest/chunks": (200, 200, 200, 200, 403, 403, 401, 401),
    f"{HELD}/main/SHA256SUMS": (200, 200, 200, 200, 403, 403, 401, 401),
    f"{HELD}/{'0' * 40}": (404, 404, 404, 404, 403, 403, 401, 401),
    ABOVE: (200, 200, 200, 403, 403, 403, 401, 401),
    f"{ABOVE}/main": (200, 200, 200, 403, 403, 403, 401, 401),
    f"{ABOVE}/main/manifest": (200, 200, 200, 403, 403, 403, 401, 401),
    f"{PLANNED}/checkpoints": (200, 200, 200, 404, 404, 404, 401, 401),
    f"{PLANNED}/checkpoints/main": (200, 200, 200, 404, 404, 404, 401, 401),
    f"{PLANNED}/checkpoints/main/manifest": (200, 200, 200, 404, 404, 404, 401, 401),
    "/downloads": (200, 200, 200, 200, 200, 200, 401, 401),
    f"/downloads/{NO_DOWNLOAD}/proof": (404, 404, 404, 404, 404, 404, 401, 401),
    "/decisions": (200, 200, 200, 403, 403, 403, 401, 401),
    "/decisions/1": (200, 200, 200, 403, 403, 403, 401, 401),
    "/decisions/999": (404, 404, 404, 403, 403, 403, 401, 401),
    "/findings": (200, 200, 200, 200, 200, 200, 401, 401),
    "/findings/999": (404, 404, 404, 404, 404, 404, 401, 401),
    "/releases": (200, 200, 200, 200, 200, 200, 401, 200),
    "/uploads/999": (403, 403, 404, 403, 403, 403, 401, 401),  # only with the scope
    "/log/entries": (200, 200, 200, 200, 200, 200, 401, 401),
    "/organizations": (200, 200, 200, 200, 200, 200, 401, 401),
    "/people": (200, 200, 200, 200, 200, 200, 401, 401),
    "/clearances": (200, 200, 200, 200, 200, 200, 401, 401),
    "/tiers": (200, 200, 200, 200, 200, 200, 401, 401),
    "/agreements": (200, 200, 200, 200, 200, 200, 401, 401),
    "/tokens": (200, 200, 200, 200, 200, 200, 401, 401),
    "/credentials/mini-gpt/base": (403, 403, 403, 200, 403, 403, 401, 401),
    "/keys": (200, 200, 200, 200, 200, 200, 200, 200),
    "/openapi.json": (200, 200, 200, 200, 200, 200, 200, 200),
}  # fmt: skip
ISSUING = {
    "gpt-2/124M": (201, 403, 201, 201, 201, 201, 401, 201),
    "gpt-2/774M": (403, 403, 403, 201, 403, 403, 401, 401),
    "mini-gpt/base": (403, 403, 403, 201, 403, 403, 401, 401),
    "mini-gpt/large": (403, 403, 403, 403, 403, 403, 401, 401),
    "gpt-2/1558M": (403, 403, 403, 404, 404, 404, 401, 401),
    "gpt-2/775M": (404, 403, 404, 404, 404, 404, 401, 401),
}
LISTS = ("/stages", "/downloads", "/organizations", "/people", "/clearances", "/agreements", "/tokens", "/me", "/tiers")


def test_each_caller_gets_what_the_table_says(sqlite_world: World) -> None:
    """Every reading route, for every caller of the example."""
    s3.open_door(sqlite_world)
    got = {
        path: tuple(sqlite_world.api("GET", path, caller).status_code for caller in CALLERS) for path in MATRIX
    }  # fmt: skip
    assert got == MATRIX


def test_each_caller_is_issued_what_the_table_says(sqlite_world: World) -> None:
    """Every stage of the example, for every caller; an entry and URLs for each 201 and for nothing else."""
    got = {
        stage: tuple(
            sqlite_world.api("POST", "/downloads", caller, json={"stage": stage}).status_code for caller in CALLERS
        )
        for stage in ISSUING
    }
    assert got == ISSUING
    issued = sum(status == 201 for row in ISSUING.values() for status in row)
    assert len(sqlite_world.entries("download")) == issued


def api_rules(world: World) -> list[Rule]:
    rules = world.client.application.url_map.iter_rules()
    return [rule for rule in rules if rule.rule.startswith("/api/v1/")]


def test_every_route_declares_who_may_call_it(sqlite_world: World) -> None:
    """A permission of the policy, or that it is open to all: which, says `tests/matrix.txt` of every one."""
    app = sqlite_world.client.application
    views: dict[str, Any] = {rule.rule: app.view_functions[rule.endpoint] for rule in app.url_map.iter_rules()}
    declared = {rule: view.permission for rule, view in views.items()}
    assert all(isinstance(permission, Permission | None) for permission in declared.values())
    assert {rule for rule, permission in declared.items() if permission is None and rule.startswith("/api/v1/")} == {
        "/api/v1/device-logins", "/api/v1/device-logins/token", "/api/v1/keys", "/api/v1/openapi.json",
        "/api/v1/tokens/leaked",
    }  # fmt: skip


def test_the_table_names_every_reading_route(sqlite_world: World) -> None:
    """No GET route of the API is missing from the table above."""
    adapter = sqlite_world.client.application.url_map.bind("localhost")
    named = {adapter.match(f"/api/v1{path}")[0] for path in MATRIX}
    assert named == {rule.endpoint for rule in api_rules(sqlite_world) if "GET" in (rule.methods or ())}


def test_only_posts_change_anything(sqlite_world: World) -> None:
    """No route takes PUT, PATCH or DELETE, and those that act take POST alone."""
    acting = set()
    for rule in api_rules(sqlite_world):
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        assert methods in ({"GET"}, {"POST"}), rule.rule
        if methods == {"POST"}:
            acting.add(rule.rule)
    one = "/api/v1/findings/<int:finding_id>/attachments"
    assert acting == {
        "/api/v1/device-logins", "/api/v1/device-logins/token",
        "/api/v1/downloads", "/api/v1/downloads/<uuid:download_id>/urls", "/api/v1/tokens/leaked", "/api/v1/findings",
        one, f"{one}/<int:attachment_id>/complete", f"{one}/<int:attachment_id>/url", "/api/v1/uploads",
        "/api/v1/uploads/<int:upload_id>/complete", "/api/v1/uploads/<int:upload_id>/urls",
    }  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_leaves_nothing_behind(sqlite_world: World, method: str) -> None:
    """No GET writes an entry or makes a URL."""
    before = len(sqlite_world.entries())
    for path in MATRIX:
        sqlite_world.api(method, path)
    assert len(sqlite_world.entries()) == before
    assert sqlite_world.signed_urls == []


def marks_of(world: World, partner: str) -> set[str]:
    """What identifies a partner, its people and its tokens in any answer."""
    person = world.person(partner)
    with world.use.database.reading() as session:
        name = session.connection().exec_driver_sql(
            "SELECT name FROM organizations WHERE id = ?", (person.organization_id,)
        ).scalar_one()  # fmt: skip
    return {str(person.organization), str(person.person), str(name), world.example.tokens[partner][4:16]}


@pytest.fixture
def busy_world(sqlite_world: World) -> World:
    """Every partner has downloaded something."""
    for caller in ("cleared", "unsigned", "uncleared"):
        assert sqlite_world.api("POST", "/downloads", caller, json={"stage": "gpt-2/124M"}).status_code == 201
    return sqlite_world


@pytest.mark.parametrize("partner", ["cleared", "unsigned", "uncleared"])
def test_a_partner_sees_nothing_of_another(busy_world: World, partner: str) -> None:
    """In no list stands another organization, its people, tokens, clearances, signatures or downloads."""
    text = "".join(
        busy_world.api("GET", f"{path}{'?limit=200' if path != '/me' else ''}", partner).text for path in LISTS
    )
    for other in {"cleared", "unsigned", "uncleared"} - {partner}:
        assert {mark for mark in marks_of(busy_world, other) if mark in text} == set()
    assert {mark for mark in marks_of(busy_world, partner) if mark not in text} == set()
    assert all(address not in text for address in ("ada@", "ben@", "auditor@", "publisher@"))


@pytest.mark.parametrize("staff", ["admin", "auditor", "publisher"])
def test_staff_see_everybody(busy_world: World, staff: str) -> None:
    """The lists that keep partners apart are whole for the lab."""
    text = "".join(busy_world.api("GET", f"{path}?limit=200", staff).text for path in LISTS if path != "/me")
    for partner in ("cleared", "unsigned", "uncleared"):
        assert {mark for mark in marks_of(busy_world, partner) if mark not in text} == set()


@pytest.mark.parametrize("caller", ["uncleared", "unsigned", None])
def test_without_clearance_nobody_learns_a_file(sqlite_world: World, caller: str | None) -> None:
    """Right guesses and wrong ones are answered alike, and no answer holds a name, a hash or an id."""
    known = sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints/main").json
    answers: list[Any] = []
    for checkpoint in (known["id"], "main", "f" * 40, "x"):
        below = f"/stages/mini-gpt/base/checkpoints/{checkpoint}"
        answers += [sqlite_world.api("GET", below + more, caller) for more in ("", "/manifest", "/manifest/chunks")]
        for paths in ([known["files"][0]["path"]], ["secret.bin"], None):
            order = {"stage": "mini-gpt/base", "checkpoint": checkpoint, "paths": paths}
            answers.append(sqlite_world.api("POST", "/downloads", caller, json=order))
    answers.append(sqlite_world.api("GET", "/stages/mini-gpt/base/checkpoints", caller))
    bodies = [{key: value for key, value in answer.json.items() if key != "request_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    text = "".join(answer.text for answer in answers) + sqlite_world.api("GET", "/stages", caller).text
    secrets = {known["id"], *(file[key] for file in known["files"] for key in ("path", "sha256"))}
    assert {secret for secret in secrets if secret in text} == set()
