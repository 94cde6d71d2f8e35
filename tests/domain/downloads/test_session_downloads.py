"""Keys that the store makes: logged before they exist, counted while they may work, and told of as long as they do."""

from datetime import timedelta

import pytest

from server.domain.downloads import live_urls, session_downloads
from server.domain.errors import AuthenticationRequired, NoSuchCheckpoint, NotCleared, StageHeld
from server.domain.release import holds
from server.storage.object_errors import ObjectStoreError, ObjectStoreUnavailable
from tests import sessions
from tests.world import World

STAGE = "mini-gpt/base"


def test_the_entry_is_there_before_the_keys(world: World) -> None:
    """One names all files of the checkpoint, and the session at the store bears the download's ID."""
    store = sessions.open_door(world)
    made = session_downloads.issue(world.use, world.caller("cleared"), STAGE)
    (record,) = world.records("download")
    ((prefix, name, seconds),) = store.asked
    assert store.log == [[made.download_id]]
    assert (record["download"], record["door"], name) == (made.download_id, "sts", made.download_id)
    assert (seconds, record["lifetime_seconds"]) == (3600, 3615)
    assert prefix == made.prefix == f"checkpoints/{STAGE}/{record['checkpoint']}/"
    assert {file["object_key"] for file in record["files"]} == {prefix + file["path"] for file in record["files"]}
    assert "the store's token" not in repr(made)


@pytest.mark.parametrize(("asked", "seconds"), [(None, 3600), (900, 900), (43200, 3600)])
def test_keys_live_no_longer_than_the_settings_allow(sqlite_world: World, asked: int | None, seconds: int) -> None:
    """A shorter life may be asked for."""
    store = sessions.open_door(sqlite_world)
    session_downloads.issue(sqlite_world.use, sqlite_world.caller("cleared"), STAGE, seconds=asked)
    assert store.asked[0][2] == seconds


def test_who_is_refused_gets_no_session(world: World) -> None:
    """By the rule of every download; without a token there are no keys, though the stage is public."""
    store, use = sessions.open_door(world), world.use
    with pytest.raises(NotCleared):
        session_downloads.issue(use, world.caller("uncleared"), STAGE)
    with pytest.raises(NoSuchCheckpoint):
        session_downloads.issue(use, world.caller("cleared"), STAGE, "0" * 40)
    with pytest.raises(AuthenticationRequired):
        session_downloads.issue(use, world.person("cleared"), "gpt-2/124M")
    holds.place(use, world.admin, STAGE, "A pause.")
    with pytest.raises(StageHeld):
        session_downloads.issue(use, world.caller("cleared"), STAGE)
    assert (store.asked, world.records("download")) == ([], [])


def test_a_store_that_makes_none_leaves_an_entry(world: World) -> None:
    """Which tells of more than was given; and longer keys than were asked for are given to nobody."""
    store = sessions.open_door(world)
    store.fails = True
    with pytest.raises(ObjectStoreUnavailable):
        session_downloads.issue(world.use, world.caller("cleared"), STAGE)
    store.fails, store.longer = False, timedelta(minutes=10)
    with pytest.raises(ObjectStoreError, match="work longer than was asked for"):
        session_downloads.issue(world.use, world.caller("cleared"), STAGE)
    assert len(world.records("download")) == 2


def test_keys_count_as_living_until_their_end(world: World) -> None:
    """Also after a hold, which does not end them, and long after any URL; in each list that they belong to."""
    sessions.open_door(world)
    session_downloads.issue(world.use, world.caller("cleared"), STAGE)
    holds.place(world.use, world.admin, STAGE, "A pause.")
    world.clock.advance(timedelta(minutes=59))
    world.keep_sealed()
    aurora = world.person("cleared").organization_id or 0
    with world.use.database.reading() as session:
        for on in (STAGE, "mini-gpt", "everything"):
            found = live_urls.of_held(session, world.admin, on, world.clock())
            assert (found.count, found.keys, found.urls) == (1, 1, 0), on
        assert live_urls.of_organization(session, world.admin, aurora, world.clock()).keys == 1
        assert live_urls.of_held(session, world.admin, "gpt-2", world.clock()).count == 0
        after = world.clock() + timedelta(seconds=80)
        assert live_urls.of_held(session, world.admin, STAGE, after).count == 0


def test_the_audit_finds_keys_that_nobody_may_have(world: World) -> None:
    """Longer ones than any store gives, or ones of no token."""
    sessions.open_door(world)
    session_downloads.issue(world.use, world.caller("cleared"), STAGE)
    (record,) = world.records("download")
    assert world.faults() == []
    world.plant("download", record | {"lifetime_seconds": 50_000}, "aurora-institute")
    world.plant("download", record | {"actor": record["actor"] | {"token": None}}, "aurora-institute")
    world.seal()
    told = [fault for fault in map(str, world.faults()) if "keys are nobody's" in fault]
    assert len(told) == 2
    world.tampered = True
