"""What all of the lab's pages do alike: refuse what no form of theirs sends, and keep the way back open."""

import re
from typing import Any

import pytest
from flask import Flask

from server.web import app as web
from tests import filled_forms
from tests.findings import report
from tests.world import World

KNOWN = {
    "clearance_id": "1", "slug": "aurora-institute", "person_id": "5", "model": "gpt-2", "stage": "774M",
    "name": "model-sharing", "number": "1", "signature_id": "1", "request_id": "1", "invitation_id": "1",
    "public_id": "aaaaaaaaaaaa", "checkpoint_id": "0" * 40, "decision_id": "1", "to": "public",
}  # fmt: skip
# Where an empty form is something else than not filled in: nothing is named, or it is a button and all is as it asks.
EMPTY = {
    "/admin/holds/place": 404, "/admin/holds/cut": 404, "/admin/holds/propose-lift": 404,
    "/admin/holds/approve-lift": 404, "/admin/requests/1/decline": 404, "/admin/people/5/role": 409,
    "/admin/people/5/role/reject": 409,
    "/admin/people/invitations/1/withdraw": 303, "/admin/people/invitations/1/resend": 303,
}  # fmt: skip


def posts(app: Flask, known: dict[str, Any]) -> list[str]:
    """The address of every form of the lab's pages."""
    adapter = app.url_map.bind("localhost")
    return [
        adapter.build(rule.endpoint, {name: known[name] for name in rule.arguments}, method="POST")
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/admin/") and "POST" in (rule.methods or ())
    ]


def test_every_form_refuses_what_it_does_not_have(sqlite_world: World) -> None:
    """Nothing, an unknown field, a field twice, more than a megabyte: each has its one answer, and is no act."""
    world = sqlite_world
    known = KNOWN | {"finding_id": report(world)} | filled_forms.quota_waits(world)
    admin, before = world.visit("admin"), len(world.entries())
    addresses = posts(web.create(world.use), known)
    assert len(addresses) > 25
    acts_alone = (
        "/approve", "/resume", "/disable", "/enable", "/countersign", "/end", "/tokens/aaaaaaaaaaaa/revoke",
        "/proposals/1/reject",
    )  # fmt: skip
    for address in addresses:
        if not address.endswith(acts_alone):  # those are a button alone: an empty form is what they send
            assert admin.post(address).status_code == EMPTY.get(address, 422), address
        assert admin.post(address, {"unknown": "1"}).status_code == 400, address
        assert admin.post(address, {"csrf_token": ["x", "y"]}, csrf="x").status_code == 400, address
        assert admin.post(address, {"reason": "x" * 1_100_000}).status_code == 413, address
    assert len(world.entries()) == before


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 30, "1e3", "١"])
def test_a_place_in_a_list_that_nobody_gave_out_is_refused(sqlite_world: World, cursor: str) -> None:
    """On each of the lists."""
    admin = sqlite_world.visit("admin")
    for path in ("organizations", "clearances", "people", "requests", "agreements", "stages/gpt-2/774M"):
        answer = admin.get(f"/admin/{path}", query_string={"cursor": cursor})
        assert answer.status_code == 400, path


def test_evidence_says_when_to_the_second(sqlite_world: World) -> None:
    """Each page of one thing that was decided; only lists say how long ago."""
    world = sqlite_world
    admin = world.visit("admin")
    known = filled_forms.FORMS["/admin/requests/<int:request_id>/decline"].before(world)
    request = f"/admin/requests/{known['request_id']}"
    assert admin.post(f"{request}/decline", {"because": "Not now."}).status_code == 303
    revoked = {"because": "The study has ended.", "confirmation": "aurora-institute"}
    assert admin.post("/admin/clearances/1/revoke", revoked).status_code == 303
    assert admin.post("/admin/signatures/1/end").status_code == 303
    checkpoint = world.records("checkpoint.publish")[0]["checkpoint"]
    token = world.example.tokens["cleared"][4:16]
    pages = {
        request: 2, "/admin/clearances/1": 2, "/admin/signatures/1": 2, f"/admin/checkpoints/{checkpoint}": 1,
        "/admin/agreements/model-sharing": 1, f"/admin/tokens/{token}/revoke": 1,
    }  # fmt: skip
    for path, at_least in pages.items():
        page = re.sub(r"<table>.*?</table>", "", admin.get(path).text, flags=re.DOTALL)
        moments = re.findall(r"\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d:\d\d UTC</time>|\d\d:\d\d:\d\d UTC\.", page)
        assert len(moments) >= at_least, path
        assert re.findall(r">(?:just now|in a moment|[^<>]* ago|in \d+ [a-z]+)</time>", page) == [], path
    shown = world.visit("cleared").get(f"/tokens/{token}").text
    assert len(re.findall(r":\d\d UTC</time>", shown)) >= 2
