"""Backups: which objects belong to one, and that each is proven on the way out and on the way back."""

import json
from pathlib import Path

import pytest

from server.domain.operation import backups
from server.domain.operation.backups import INDEX, OBJECTS
from server.domain.publish import publishing
from server.storage.objects import ObjectStoreUnavailable, S3Objects
from server.storage.snapshot import SnapshotError
from tests.attached import announced, attached
from tests.findings import report
from tests.world import World


def index(folder: Path) -> list[dict[str, object]]:
    items: list[dict[str, object]] = json.loads((folder / INDEX).read_bytes())["objects"]
    return items


def test_every_published_file_is_in_it_and_nothing_else(world: World, tmp_path: Path) -> None:
    """The index, the objects beside it and the published checkpoints are the same set, on both databases."""
    copied = backups.copy_objects(world.use, tmp_path)
    found = {str(path.relative_to(tmp_path / OBJECTS)) for path in (tmp_path / OBJECTS).rglob("*") if path.is_file()}
    assert found == {item["object_key"] for item in index(tmp_path)}
    assert found <= set(world.use.store.list_keys("checkpoints/"))
    assert copied == len(found) > 0
    backups.require_whole(tmp_path)


def test_attachments_of_findings_are_in_it(sqlite_world: World, tmp_path: Path) -> None:
    """Whatever the folder is restored to has them, too; what was never completed is left out."""
    finding = report(sqlite_world)
    file = attached(sqlite_world, finding)
    announced(sqlite_world, finding, "left.csv", b"a")
    backups.copy_objects(sqlite_world.use, tmp_path)
    backups.require_whole(tmp_path)
    keys = {str(item["object_key"]) for item in index(tmp_path)}
    assert {key for key in keys if key.startswith("findings/")} == {file.object_key}


def test_an_upload_that_is_not_finished_is_left_out(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody may see yet is no part of a backup; the publisher sends it again."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "config.json").write_text("{}")

    def die(*_: object) -> None:
        raise ObjectStoreUnavailable("the object store did not respond")

    publisher = sqlite_world.person("publisher")
    with monkeypatch.context() as patch:
        patch.setattr(S3Objects, "upload", die)
        with pytest.raises(ObjectStoreUnavailable):
            publishing.publish(sqlite_world.use, publisher, tmp_path / "files", "mini-gpt/base")
    backups.copy_objects(sqlite_world.use, tmp_path / "backup")
    assert not [item for item in index(tmp_path / "backup") if item["size_bytes"] == 2]


def test_an_object_that_arrives_damaged_is_not_kept(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that hands out other bytes than were published ends the backup before its index."""
    monkeypatch.setattr(S3Objects, "download", lambda _self, _key, path: path.write_bytes(b"other"))
    with pytest.raises(SnapshotError, match="differs from what was published"):
        backups.copy_objects(sqlite_world.use, tmp_path)
    assert not (tmp_path / INDEX).exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "1", '{"objects": [{"object_key": "x"}]}', '{"objects": [1]}'])
def test_a_damaged_index_is_refused(tmp_path: Path, text: str) -> None:
    """An index that is not one ends in a sentence."""
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(SnapshotError, match="missing or damaged"):
        backups.require_whole(tmp_path)
