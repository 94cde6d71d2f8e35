"""Checkpoints: found by id or as `main`, published whole or not at all, never another stage's."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import update

from server.domain.access import rule
from server.domain.errors import NotFound
from server.domain.paging import Slice
from server.domain.publish import checkpoints
from server.domain.publish.checkpoints import Checkpoint, ManifestForm
from server.domain.release import stages
from server.domain.release.stages import Stage
from server.storage.database import Database
from tests.world import World

BASE = "mini-gpt/base"


@contextmanager
def stage(world: World, name: str = BASE) -> Iterator[tuple[Stage, list[Checkpoint]]]:
    """A stage and its checkpoints, newest first, while a session is open."""
    with world.use.database.reading() as session:
        found = stages.get(session, name)
        yield found, list(checkpoints.published(session, found.id, Slice(10)).items)


def unpublish(world: World, checkpoint: Checkpoint) -> None:
    with world.use.database.transaction() as session:
        session.execute(update(Checkpoint).where(Checkpoint.id == checkpoint.id).values(published_at=None))


def listed(world: World, name: str = "main", of: str = BASE) -> checkpoints.FileList:
    with world.use.database.reading() as session:
        return rule.require_reading(session, world.use, world.caller("cleared"), of, name)[1]


def test_main_is_the_newest_checkpoint_and_the_older_stays(world: World) -> None:
    """Both are listed, newest first, and found by id."""
    with stage(world) as (found, (newer, older)):
        assert found.main_checkpoint_id == newer.id > older.id
        assert newer.published_at is not None
    assert listed(world).checkpoint_id == listed(world, newer.checkpoint_id).checkpoint_id == newer.checkpoint_id
    assert listed(world, older.checkpoint_id).files != listed(world).files


def test_a_checkpoint_s_id_is_the_start_of_its_manifest_s_hash(world: World) -> None:
    """What is signed is what is named; both forms of the manifest are kept."""
    with stage(world) as (_, (newer, _)), world.use.database.reading() as session:
        signed = checkpoints.manifest(session, newer.id, ManifestForm.FILES)
        assert hashlib.sha256(signed).hexdigest()[:40] == newer.checkpoint_id
        assert checkpoints.manifest(session, newer.id, ManifestForm.CHUNKS) != signed


def test_files_lie_under_their_own_checkpoint_in_the_order_of_their_paths(world: World) -> None:
    """The manifest is not among them, and each object's key names model, stage, checkpoint and path."""
    with stage(world) as (_, (newer, _)):
        files = listed(world).files
    assert list(files) == sorted(files)
    assert set(files) == {
        path.relative_to(world.template.sources / BASE).as_posix()
        for path in (world.template.sources / BASE).rglob("*")
        if path.is_file()
    }
    for path, file in files.items():
        assert (file.path, file.stored.key) == (path, f"checkpoints/{BASE}/{newer.checkpoint_id}/{path}")


def test_a_draft_is_not_there(world: World) -> None:
    """What was not published to the end is found neither by its id nor as `main`, and is not listed."""
    with stage(world) as (_, (newer, older)):
        pass
    unpublish(world, newer)
    for name in (newer.checkpoint_id, "main"):
        with pytest.raises(NotFound):
            listed(world, name)
    with stage(world) as (_, known):
        assert [checkpoint.id for checkpoint in known] == [older.id]


def test_a_draft_s_files_are_not_remembered_as_missing(world: World) -> None:
    """A refusal is not cached: once published, the checkpoint is there."""
    with stage(world) as (_, (newer, _)):
        published_at = newer.published_at
    unpublish(world, newer)
    with pytest.raises(NotFound):
        listed(world)
    with world.use.database.transaction() as session:
        session.execute(update(Checkpoint).where(Checkpoint.id == newer.id).values(published_at=published_at))
    assert listed(world).checkpoint_id == newer.checkpoint_id


def test_a_stage_without_a_checkpoint_has_no_main(world: World) -> None:
    """A stage may be released before anything is in it."""
    stages.add(world.use, world.admin, "mini-gpt/empty", tier="research")
    with world.use.database.reading() as session, pytest.raises(NotFound):
        rule.require_reading(session, world.use, world.admin, "mini-gpt/empty", "main")


def test_two_databases_do_not_share_what_is_remembered(world: World) -> None:
    """The cache knows whose checkpoint 1 it holds."""
    first = listed(world)
    other = Database(world.settings.database_url)
    with other.reading() as session:
        assert checkpoints.file_list(session, other, first.checkpoint_pk) is not first
    assert listed(world) is first
    other.close()


def test_a_file_is_found_by_its_hash_in_the_newest_checkpoint_that_has_it(world: World) -> None:
    """Of this stage alone, and never in a draft."""
    with stage(world) as (found, (newer, older)):
        key = found.id
    same = listed(world).files["vocab.json"].sha256

    def holder(of: int = key) -> str | None:
        with world.use.database.reading() as session:
            held = checkpoints.holding(session, world.use.database, of, same)
        return None if held is None else held[0]

    assert holder() == newer.checkpoint_id
    unpublish(world, newer)
    assert holder() == older.checkpoint_id
    unpublish(world, older)
    assert holder() is None
    with stage(world, "gpt-2/774M") as (another, _):
        assert holder(another.id) is None
