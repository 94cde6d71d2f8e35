"""Proposals' pages: each kind says what would happen; an admin lets it, and its proposer can withdraw it."""

from pathlib import Path

import pytest

from server.domain.audit import rotation_permits
from server.domain.audit.rotation_permits import Terms
from server.domain.publish import publishing
from server.domain.release import stage_editing
from tests.domain.publish.folders import put
from tests.world import World

STAGE = "gpt-2/774M"


@pytest.fixture
def checkpoint(sqlite_world: World, tmp_path: Path) -> str:
    """The id of one that waits, as proposal 1."""
    folder = put(tmp_path / "files", {"a.txt": b"a"})
    return publishing.publish(sqlite_world.use, sqlite_world.person("publisher"), folder, STAGE).checkpoint_id


def test_a_checkpoint_that_waits_is_found_and_approved(sqlite_world: World, checkpoint: str) -> None:
    """On its stage's page and in the queue; its page says what it is, and that nobody has it."""
    admin = sqlite_world.visit("admin")
    for path in (f"/admin/stages/{STAGE}", "/admin/queue", "/admin/proposals"):
        assert f"a checkpoint of {STAGE}" in admin.get(path).text
    page = admin.get("/admin/proposals/1").text
    assert checkpoint in page
    assert "Nobody can see or download it yet" in page
    assert admin.post("/admin/proposals/1/approve").status_code == 303
    assert sqlite_world.api("GET", f"/stages/{STAGE}/checkpoints/main").json["id"] == checkpoint


def test_a_publisher_sees_and_withdraws_their_own(sqlite_world: World, checkpoint: str) -> None:
    """They approve nothing, and close nobody else's."""
    stage_editing.edit(sqlite_world.use, sqlite_world.admin, STAGE, reports_at_least=3)
    stage_editing.edit(sqlite_world.use, sqlite_world.admin, STAGE, reports_at_least=1)
    publisher = sqlite_world.visit("publisher")
    assert "Withdraw" in publisher.get("/admin/proposals/1").text
    assert "Reject" not in publisher.get("/admin/proposals/2").text
    for path in ("/admin/proposals/1/approve", "/admin/proposals/2/reject"):
        assert publisher.post(path).status_code == 403
    assert publisher.post("/admin/proposals/1/reject").status_code == 303
    assert "withdrawn" in publisher.get("/admin/proposals/1").text
    assert checkpoint not in str(sqlite_world.records("checkpoint.publish"))


def test_fewer_reports_and_new_keys_say_what_they_are(sqlite_world: World) -> None:
    """What is left to do on the host is said before and after the approval."""
    world = sqlite_world
    stage_editing.edit(world.use, world.admin, STAGE, reports_at_least=3)
    admin = world.visit("admin")
    form = {"planned_from": "", "planned_until": "", "note": "", "reports_at_least": "1"}
    edited = admin.post(f"/admin/stages/{STAGE}/edit", form)
    assert "Proposal 1 waits for another admin" in admin.get(edited.headers["Location"]).text
    rotation_permits.propose(world.use, world.admin, Terms("A new year."))
    second = world.visit("admin2")
    assert "at least 1" in second.get("/admin/proposals/1").text
    keys = second.get("/admin/proposals/2").text
    assert "A new year." in keys
    assert "weightgate-server keys rotate" in keys
    assert second.post("/admin/proposals/2/approve").status_code == 303
    assert "weightgate-server keys rotate" in second.get("/admin/proposals/2").text
    assert world.entries("log.open") == []
