"""Uploads on a real store: who may announce what, how much, and what becomes of what nobody goes on with."""

import contextlib
from datetime import timedelta

import pytest

from server.domain.errors import InvalidRequest, NotFound, NotPermitted, NotPossible
from server.domain.publish import upload_parts, uploads
from server.domain.publish.upload_parts import Wanted
from server.domain.publish.uploads import NewFile
from server.storage.uploads import PREFIX
from tests.uploads import FILES, announced, completed, seen, sent, slots
from tests.world import World

pytestmark = pytest.mark.usefixtures("no_uploads")


def cleaned(world: World) -> None:
    """As the worker does it, with its role."""
    with contextlib.closing(world.use.as_sealer()) as use:
        uploads.clean(use)


def test_bad_paths_are_refused_before_anything_is_sent(sqlite_world: World) -> None:
    """Each is named, in one answer: whatever leads elsewhere, collides, is empty or can run code."""
    bad = ["../up.json", "/etc/passwd", "a//b.json", "a\\b.json", "./a.json", ".git/config", "CON", "a/../b.json",
           "model.bin", "x.json\n", "-rf.json", "é.json", ""]  # fmt: skip
    files = [NewFile(path, 10, "0" * 64) for path in bad]
    files += [NewFile("twice.json", 10, "0" * 64)] * 2
    files += [NewFile("folder.json", 10, "0" * 64), NewFile("folder.json/a.json", 10, "0" * 64)]
    files += [
        NewFile("Case.json", 10, "0" * 64),
        NewFile("case.json", 10, "0" * 64),
        NewFile("empty.json", 0, "0" * 64),
    ]
    files += [NewFile("huge.json", 50_000_000_001, "0" * 64), NewFile("model-00001-of-00002.safetensors", 9, "0" * 64)]
    with pytest.raises(InvalidRequest) as refused:
        uploads.begin(sqlite_world.use, sqlite_world.caller("publisher"), "gpt-2/1558M", files)
    said = refused.value.detail.splitlines()
    for named in ("../up.json", "/etc/passwd", "a//b.json", ".git", "CON", "model.bin", "-rf.json", "is named twice",
                  "a folder as well", "only in case", "is empty", "more than 50000000000", "-00002-of-"):  # fmt: skip
        assert any(named in line for line in said), named
    assert sqlite_world.use.arrivals.list_keys(PREFIX) == []


def test_another_s_upload_is_not_there(sqlite_world: World) -> None:
    """Not even for an admin, who may publish as well."""
    world = sqlite_world
    upload, other = announced(world), world.admin
    wanted = [Wanted("config.json", 1, "0" * 64)]
    for attempt in (
        lambda: upload_parts.urls(world.use, other, upload.id, wanted),
        lambda: uploads.complete(world.use, other, upload.id),
        lambda: uploads.complete(world.use, world.caller("publisher"), upload.id + 1),
    ):
        with pytest.raises(NotFound):
            attempt()
    with pytest.raises(NotPermitted):
        announced(world, caller=world.person("auditor"))


def test_what_is_announced_anew_keeps_what_has_arrived_of_the_same_files(world: World) -> None:
    """One upload a stage: the file that changed is sent again, and what lay there of it is removed."""
    upload = announced(world)
    sent(world, upload)
    changed = FILES | {"vocab.txt": b"a\nb\nc\n"}
    again = announced(world, changed)
    assert again.id == upload.id
    assert [(slot.path, slot.url is None) for slot in slots(world, again, changed)] == [
        ("config.json", True), ("vocab.txt", False),
    ]  # fmt: skip
    uploads.clean(world.use)
    assert len(world.use.arrivals.attempts()) == 2


def test_a_publisher_has_a_bounded_number_of_bytes_under_way(sqlite_world: World) -> None:
    """Files above the bound are refused, and so are those that would lift all of one's uploads above it."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"upload_bytes_per_person": 20})
    announced(world)
    announced(world)  # the same one again counts once
    with pytest.raises(NotPossible, match="under way"):
        announced(world, stage="gpt-2/774M")
    with pytest.raises(NotPossible, match="can have 20"):
        announced(world, FILES | {"more.json": b"{}" * 10})


def test_a_publisher_has_a_bounded_number_of_uploads(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each to another stage."""
    monkeypatch.setattr(uploads, "AT_MOST", 1)
    announced(sqlite_world)
    with pytest.raises(NotPossible, match="under way"):
        announced(sqlite_world, stage="gpt-2/774M")
    announced(sqlite_world, FILES | {"more.json": b"{}"})


def test_what_nobody_goes_on_with_is_removed_after_a_day(world: World) -> None:
    """With every part that had arrived. What was completed waits longer for whoever publishes it."""
    left = announced(world)
    sent(world, left)
    waiting = completed(world, stage="gpt-2/774M")
    world.clock.advance(timedelta(hours=23))
    cleaned(world)
    assert len(world.use.arrivals.attempts()) == 4
    world.clock.advance(timedelta(hours=2))
    cleaned(world)
    with pytest.raises(NotFound):
        uploads.complete(world.use, world.caller("publisher"), left.id)
    assert seen(world, waiting).state == "checking"
    assert len(world.use.arrivals.attempts()) == 2
    world.clock.advance(timedelta(days=7))
    cleaned(world)
    assert world.use.arrivals.attempts() == []


def test_every_object_that_belongs_to_no_upload_is_removed(sqlite_world: World) -> None:
    """Whatever broke off left it; and nothing outside the prefix is touched."""
    world = sqlite_world
    kept = set(world.use.store.list_keys("checkpoints/"))
    world.use.store.put_bytes("uploads/left", b"x")
    world.use.arrivals.begin("uploads/also-left")
    uploads.clean(world.use)
    assert world.use.arrivals.list_keys(PREFIX) == []
    assert world.use.arrivals.attempts() == []
    assert set(world.use.store.list_keys("checkpoints/")) == kept


def test_without_a_key_there_are_no_uploads(sqlite_world: World) -> None:
    """An instance that was made before them goes on, and says so."""
    world = sqlite_world
    world.use.settings = world.settings.model_copy(update={"uploads_key_file": None})
    with pytest.raises(NotPossible, match="takes no uploads"):
        announced(world)
    uploads.clean(world.use)
