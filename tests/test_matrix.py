"""Role × organization × stage × route × foreign id: whoever may not have something gets 403 or 404, at every address.

The table, `matrix.txt`, is written by hand. A route without a row breaks the build, and so does a row without a route.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from server.domain.accounts import granting
from server.domain.permissions import POLICY, Permission, Role
from server.domain.publish.checkpoints import Checkpoint
from server.domain.release import holds, stages
from server.domain.release.stages import StageState
from tests import s3
from tests.matrix import API, PAGES, ROWS
from tests.theirs import acts, at_the_door
from tests.visits import visit
from tests.world import World

DENIED = {403, 404}
# What must be in a body, where an empty one is refused before anything is looked up.
BODIES = {"/api/v1/findings/<int:finding_id>/attachments": {"name": "a.csv", "size_bytes": 1, "sha256": "0" * 64}}
VISITORS: dict[str, Role | None] = {
    "nobody": None, "uncleared": Role.OWNER, "member": Role.MEMBER, "admin": Role.ADMIN, "publisher": Role.PUBLISHER,
    "auditor": Role.AUDITOR, "pending": Role.PENDING,
}  # fmt: skip


def routes(app: Flask) -> Iterator[tuple[str, str, Any]]:
    for rule in app.url_map.iter_rules():
        methods = (rule.methods or set()) - {"OPTIONS"}
        for method in sorted(methods - {"HEAD"} or methods):
            yield method, rule.rule, app.view_functions[rule.endpoint]


def test_every_route_has_a_row_and_every_row_a_route(sqlite_world: World) -> None:
    """And the row says which permission the route declares: changing either is thought about twice."""
    app = sqlite_world.client.application
    declared = {(method, rule): view.permission for method, rule, view in routes(app)}
    assert declared == {(row.method, row.rule): row.permission for row in ROWS}
    assert {row.foreign for row in ROWS} == {"403", "404", "own", "any", "-"}
    assert all((row.foreign == "-") == (row.permission is None) for row in ROWS)


def test_an_act_of_the_lab_needs_a_fresh_sign_in(sqlite_world: World) -> None:
    """Each POST whose permission only the lab has, and each below /admin/."""
    app = sqlite_world.client.application
    partners = {Role.OWNER, Role.MEMBER}
    stale = {
        rule
        for method, rule, view in routes(app)
        if method == "POST" and not rule.startswith("/api/") and view.permission is not None
        if rule.startswith("/admin/") or not POLICY[view.permission].roles & partners
        if not view.fresh
    }
    assert stale == {"/audit/verifications"}  # looks at everything, and changes nothing


@pytest.mark.parametrize("name", VISITORS)
def test_a_page_is_denied_to_whoever_may_not_have_it(their_world: World, theirs: dict[str, Any], name: str) -> None:
    """To a role without the permission, and to a partner whose things the address does not name; nothing happens."""
    world, role = their_world, VISITORS[name]
    here = at_the_door(world, name)
    csrf, before, partner = here.csrf_token, acts(world), role in {Role.OWNER, Role.MEMBER}
    asked = 0
    for row in PAGES:
        known = theirs | ({"name": theirs["log_name"]} if row.rule.startswith("/audit/log/") else {})
        denied = row.refuses(role) or (partner and row.foreign in {"403", "404"})
        if not denied:
            continue
        asked += 1
        address = row.address(known)
        fields = {"path": "vocab.bpe"} if row.rule.endswith("/files") else BODIES.get(f"/api/v1{row.rule}")
        fields = None if role is None else fields  # what is typed is kept until somebody signs in
        answer = here.get(address) if row.method == "GET" else here.post(address, fields, csrf=csrf)
        if role is None:
            assert answer.status_code == (303 if row.method == "GET" else 401), address
            assert answer.headers.get("Location", "/sign-in").startswith("/sign-in"), address
        elif role is Role.PENDING and row.rule == "/":
            assert answer.headers["Location"] == "/account"
        elif row.refuses(role) or row.foreign == "403":
            assert answer.status_code == 403, (row.method, address)
        else:
            assert answer.status_code == 404, (row.method, address)
        assert "Aurora Institute" not in answer.text, address
    assert asked > 3
    assert acts(world) == before


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_who_has_not_made_an_account_their_own_has_only_the_account(
    their_world: World, theirs: dict[str, Any], role: Role
) -> None:
    """Whatever their role: each page leads to it, each form is refused, and nothing happens."""
    world, email = their_world, "new@aurora-institute.example"
    lab = role is Role.ADMIN
    granting.add(world.use, world.admin, "example-lab" if lab else "aurora-institute", email, "New", role)
    if lab:
        granting.approve(world.use, world.admin2, email)
    here = visit(world.client.application, world.use, email)
    csrf, before = here.csrf_token, acts(world)
    for row in PAGES:
        if row.permission in {None, Permission.ACCOUNT_MANAGE}:
            continue
        address = row.address(theirs)
        answer = here.get(address) if row.method == "GET" else here.post(address, csrf=csrf)
        if row.method == "GET":
            assert answer.headers.get("Location") == "/account", address
        else:
            assert answer.status_code == 403, address
    assert acts(world) == before


@pytest.mark.parametrize("name", ["uncleared", "unsigned", "cleared", "expired"])
def test_the_api_denies_what_is_not_the_caller_s(their_world: World, theirs: dict[str, Any], name: str) -> None:
    """With a token of another organization, foreign ids are not there; with one that has expired, nothing is."""
    before = acts(their_world)
    asked = 0
    for row in API:
        if row.permission is None or (name == "cleared") or (name != "expired" and row.foreign not in {"403", "404"}):
            continue
        asked += 1
        body: dict[str, Any] | None = BODIES.get(row.rule, {}) if row.method == "POST" else None
        answer = their_world.ask(row.method, row.address(theirs), name, json=body)
        assert answer.status_code == 401 if name == "expired" else answer.status_code in DENIED, row
    assert (asked > 3) == (name != "cleared")
    assert acts(their_world) == before


@pytest.mark.parametrize("name", ["uncleared", "unsigned", "cleared"])
def test_no_door_opens_a_stage_that_is_closed(sqlite_world: World, name: str) -> None:
    """Planned, above one's tier, held, withdrawn, not cleared, not signed: at every address of a stage."""
    world = sqlite_world
    s3.open_door(world)
    holds.place(world.use, world.admin, "gpt-2/355M", "A pause.")
    world.move("gpt-2/124M", StageState.WITHDRAWN, "For good.")
    closed = {"gpt-2/1558M": DENIED, "mini-gpt/large": DENIED, "gpt-2/355M": {451}, "gpt-2/124M": {451}}
    if name != "cleared":
        closed |= {"gpt-2/774M": DENIED, "mini-gpt/base": DENIED}
    here = world.visit(name)
    csrf, before, signed = here.csrf_token, acts(world), len(world.signed_urls)
    for full_name, statuses in closed.items():
        model, _, stage = full_name.partition("/")
        for checkpoint in ("main", _newest(world, model, stage)):
            known = {"model": model, "stage": stage, "checkpoint": checkpoint, "revision": checkpoint}
            known |= {"path": "vocab.bpe", "folder": "encoder", "reference": checkpoint, "digest": f"sha256:{0:064x}"}
            for row in ROWS:
                if row.permission not in {Permission.CHECKPOINT_READ, Permission.DOWNLOAD_CREATE}:
                    continue
                if not row.names_a_stage or row.rule.startswith("/admin/"):
                    continue
                address = row.address(known)
                if row in API:
                    answer = world.ask(row.method, address, name)
                elif row.method == "GET":
                    answer = here.get(address)
                else:
                    answer = here.post(address, {"path": "vocab.bpe"}, csrf=csrf)
                assert answer.status_code in statuses, (row.method, address)
    assert acts(world) == before
    assert len(world.signed_urls) == signed


def _newest(world: World, model: str, stage: str) -> str:
    with world.use.database.reading() as session:
        found = stages.get(session, f"{model}/{stage}")
        key = session.scalar(select(Checkpoint.checkpoint_id).where(Checkpoint.id == found.main_checkpoint_id))
    return str(key)
