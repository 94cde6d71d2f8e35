"""Keyed downloads: decided at each request, logged once for each key and file, before anything can be read."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from server.domain.access import clearances
from server.domain.downloads import keyed_downloads, live_urls
from server.domain.downloads.keyed_downloads import DOOR, KeyedDownload, KeyedFile
from server.domain.entry_kinds import EntryKind
from server.domain.errors import (
    AuthenticationRequired,
    NoSuchFile,
    NotCleared,
    NotFound,
    NotPermitted,
    QuotaExceeded,
    Refused,
    StageHeld,
)
from server.domain.identity import authentication, tokens
from server.domain.identity.s3_keys import NewS3Key
from server.domain.operation import carrying_out
from server.domain.release import holds
from server.domain.release.stages import StageState
from tests import s3
from tests.world import STRANGER, World, cases

STAGE = "mini-gpt/base"
CONFIG = KeyedFile(STAGE, "main", "config.json")


def fetch(world: World, made: NewS3Key, wanted: KeyedFile = CONFIG) -> str:
    """What the door does with a request of its signer."""
    caller, refused = authentication.identify_s3_key(world.use, made.key, STRANGER)
    if refused is not None:
        raise refused
    seen = keyed_downloads.look(world.use, caller, made.key, wanted)
    return keyed_downloads.fetch(world.use, caller, made.key, seen)


def test_one_entry_tells_of_all_that_a_key_fetches_of_a_file(world: World) -> None:
    """However often, under whichever name of the stage; another key and another file have entries of their own."""
    made, other = s3.key_of(world), s3.key_of(world)
    ids = {fetch(world, made).partition("x-download-id=")[2][:36] for _ in range(3)}
    (record,) = world.records("download")
    assert ids == {record["download"]}
    assert (record["door"], record["access_key_id"]) == (DOOR, made.key.access_key_id)
    assert [file["path"] for file in record["files"]] == ["config.json"]
    assert 3500 < record["lifetime_seconds"] <= 3600
    fetch(world, other)
    fetch(world, made, KeyedFile(STAGE, "main", "vocab.json"))
    fetch(world, made, KeyedFile(STAGE, record["checkpoint"], "vocab.json"))  # the same file by another name
    assert len(world.records("download")) == 3


def test_two_requests_at_once_make_one_entry(world: World) -> None:
    """And both are answered under it."""
    made, start = s3.key_of(world), threading.Barrier(8)

    def one(_: int) -> str:
        start.wait(10)
        return fetch(world, made)

    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(one, range(8)))
    (record,) = world.records("download")
    assert all(record["download"] in url for url in urls)


def revoke_token(world: World) -> None:
    tokens.revoke(world.use, world.person("cleared"), world.caller("cleared").token_public_id or "")


def revoke_clearance(world: World) -> None:
    with world.use.database.reading() as session:
        organization = world.person("cleared").organization_id
        query = select(clearances.Clearance.id).where(clearances.Clearance.organization_id == organization)
        found = list(session.scalars(query))
    for clearance_id in found:
        clearances.revoke(world.use, world.admin, clearance_id)


@cases(
    ("act", "why"),
    [
        (lambda world: holds.place(world.use, world.admin, STAGE, "A pause."), StageHeld),
        (lambda world: holds.place(world.use, world.admin, "everything", "A pause."), StageHeld),
        (revoke_token, Refused),
        (revoke_clearance, NotCleared),
    ],
)
def test_the_next_request_after_an_end_is_refused(world: World, act: Callable[[World], object], why: type) -> None:
    """Also of a file that the key has an entry for; nothing is signed and nothing is logged."""
    made = s3.key_of(world)
    fetch(world, made)
    act(world)
    before, signed = len(world.entries()), len(world.signed_urls)
    with pytest.raises(why):
        fetch(world, made)
    assert (len(world.entries()), len(world.signed_urls)) == (before, signed)


def test_another_authority_is_another_entry(sqlite_world: World) -> None:
    """An entry rests on what it says, so what was fetched under a new clearance is not told by the old one's."""
    world = sqlite_world
    made = s3.key_of(world)
    fetch(world, made)
    until = world.clock() + timedelta(days=30)
    revoke_clearance(world)
    proposed = clearances.propose(
        world.use, world.admin, "aurora-institute", "mini-gpt", "research", expires_at=until, purpose="A study."
    )
    clearances.approve(world.use, world.admin2, proposed.id)
    fetch(world, made)
    first, second = world.records("download")
    assert first["clearance"] != second["clearance"] == proposed.id


def test_a_file_is_counted_once(sqlite_world: World) -> None:
    """Against the organization's quota: parts of it cost no more."""
    world = sqlite_world
    made = s3.key_of(world)
    seen = keyed_downloads.look(world.use, world.caller("cleared"), made.key, CONFIG)
    carrying_out.set_quota(
        world.use, world.admin, "aurora-institute", bytes_per_day=seen.file.size_bytes, requests_per_minute=None
    )
    for _ in range(3):
        fetch(world, made)
    with pytest.raises(QuotaExceeded):
        fetch(world, made, KeyedFile(STAGE, "main", "vocab.json"))


@pytest.mark.parametrize("stage", ["gpt-2/774M", "gpt-2/1558M", "mini-gpt/large", "gpt-2/none", "a/b", ""])
def test_a_key_opens_its_own_stage_alone(sqlite_world: World, stage: str) -> None:
    """Whether there is another, and whether it is open, makes no difference to what is said."""
    made = s3.key_of(sqlite_world)
    with pytest.raises(NotPermitted, match=f"^These keys are for {STAGE}\\.$"):
        fetch(sqlite_world, made, KeyedFile(stage, "main", "config.json"))


def test_what_is_not_in_the_checkpoint_is_not_there(sqlite_world: World) -> None:
    """No entry tells of it either."""
    with pytest.raises(NoSuchFile):
        fetch(sqlite_world, s3.key_of(sqlite_world), KeyedFile(STAGE, "main", "../config.json"))
    with pytest.raises(NotFound):
        fetch(sqlite_world, s3.key_of(sqlite_world), KeyedFile(STAGE, "0" * 40, "config.json"))
    assert sqlite_world.records("download") == []


def test_an_alias_is_as_good_as_the_name(sqlite_world: World) -> None:
    """For the key and in it; the entry has the name of today."""
    made = s3.key_of(sqlite_world, stage="gpt-2/762M")
    path = next(
        iter(keyed_downloads.listing(sqlite_world.use, sqlite_world.caller("cleared"), made.key, None, "main")[1].files)
    )
    for name in ("gpt-2/762M", "gpt-2/774M"):
        fetch(sqlite_world, made, KeyedFile(name, "main", path))
    (record,) = sqlite_world.records("download")
    assert record["stage"] == "774M"


@pytest.mark.parametrize("name", ["uncleared", "unsigned", "expired", "publisher", "admin"])
def test_no_key_is_made_for_who_may_not_download(sqlite_world: World, name: str) -> None:
    """Staff neither, who may look at what partners download."""
    with pytest.raises(Refused):
        s3.key_of(sqlite_world, name)


def test_no_key_is_made_for_nobody(sqlite_world: World) -> None:
    """Not for a public stage either: an entry of a key names whose token it was made for."""
    with pytest.raises(AuthenticationRequired):
        keyed_downloads.key_for(sqlite_world.use, STRANGER, "gpt-2/124M")
    with pytest.raises(NotFound):
        s3.key_of(sqlite_world, stage="gpt-2/1558M")


def test_a_public_stage_is_fetched_with_a_key_too(sqlite_world: World) -> None:
    """By anybody with a token; back with partners it is open to those alone who are cleared for it."""
    world = sqlite_world
    made = s3.key_of(world, "uncleared", "gpt-2/124M")
    path = next(iter(keyed_downloads.listing(world.use, world.caller("uncleared"), made.key, None, "main")[1].files))
    fetch(world, made, KeyedFile("gpt-2/124M", "main", path))
    world.move("gpt-2/124M", StageState.PARTNERS)
    with pytest.raises(NotCleared):
        fetch(world, made, KeyedFile("gpt-2/124M", "main", path))


def test_what_ended_is_forgotten(sqlite_world: World) -> None:
    """The rows are those of keys that still work."""
    world = sqlite_world
    fetch(world, s3.key_of(world, seconds=900))
    world.clock.advance(timedelta(seconds=901))
    fetch(world, s3.key_of(world))
    with world.use.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(KeyedDownload)) == 1


def test_a_keyed_download_is_no_live_url(sqlite_world: World) -> None:
    """After a revoke nothing of it works: nobody needs to be told until when."""
    fetch(sqlite_world, s3.key_of(sqlite_world))
    with sqlite_world.use.database.reading() as session:
        found = live_urls.of_held(session, sqlite_world.admin, "everything", sqlite_world.clock())
    assert (found.count, found.until) == (0, None)


@pytest.mark.parametrize("change", [{"door": "window"}, {"access_key_id": ""}, {"files": []}])
def test_the_audit_finds_an_entry_that_no_door_made(sqlite_world: World, change: dict[str, object]) -> None:
    """A door that there is not, no key, or other than one file."""
    world = sqlite_world
    fetch(world, s3.key_of(world))
    (record,) = world.records("download")
    planted = world.plant(EntryKind.DOWNLOAD, record | change, "aurora-institute")
    world.seal()
    sentences = [fault.sentence for fault in world.faults() if fault.row == world.name_of(planted)]
    assert "it is of a door that there is not, or not of one key and one file" in sentences
