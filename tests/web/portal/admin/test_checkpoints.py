"""Checkpoints: everything that is known of one."""

import hashlib

from server.domain.downloads import issuing
from tests.visits import words
from tests.world import World


def test_a_checkpoint_has_its_files_its_manifest_and_how_often_it_was_taken(sqlite_world: World) -> None:
    """The manifest's hash begins with its id."""
    world = sqlite_world
    issued = issuing.issue(world.use, world.caller("cleared"), world.order())
    checkpoint_id = world.records("download")[0]["checkpoint"]
    admin = world.visit("admin")
    page = admin.get(f"/admin/checkpoints/{checkpoint_id}")
    for part in ("publisher@example-lab.example", "The original seven files", "Downloads 1", "Files (7)"):
        assert part in words(page), part
    assert all(file.sha256 in page.text for file in issued.files)
    manifest = admin.get(f"/admin/checkpoints/{checkpoint_id}/manifest")
    assert hashlib.sha256(manifest.data).hexdigest().startswith(checkpoint_id)
    assert manifest.headers["Content-Disposition"].startswith("attachment")


def test_it_is_the_lab_s_page(sqlite_world: World) -> None:
    """A partner has its own, that asks what it is cleared for; and no other id is there."""
    world = sqlite_world
    checkpoint_id = world.records("checkpoint.publish")[0]["checkpoint"]
    for path in (checkpoint_id, f"{checkpoint_id}/manifest"):
        assert world.visit("cleared").get(f"/admin/checkpoints/{path}").status_code == 403
    for path in ("0" * 40, "main", f"{checkpoint_id}x", "0" * 40 + "/manifest"):
        assert world.visit("admin").get(f"/admin/checkpoints/{path}").status_code == 404
