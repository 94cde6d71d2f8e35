"""Verifying: bytes, meaning, keys, links and anchors of every log, and what a stopped log needs to go on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from server.domain.audit import heartbeat, logs, sealer, verifying
from server.domain.downloads import issuing
from server.domain.errors import InvalidRequest, NotPermitted, NotPossible
from server.log import anchors, condition, heads, sealing
from server.log.anchors import BehindAnchor
from server.log.condition import LogUnsound
from server.log.entries import commitment_of
from server.log.heads import Head
from server.log.notes import Signer
from server.storage import keys
from server.storage.embedded import EmbeddedStore
from tests import own_keys, tampering
from tests.own_keys import anchored_instance, give_own_keys, seal_and_anchor
from tests.world import Clock, World, cases


def found(world: World) -> list[tuple[str, str]]:
    """Every fault, by row and sentence."""
    return [(fault.row, fault.sentence) for result in verifying.verify(world.use) for fault in result.faults]


def run(world: World, statement: str, **values: Any) -> None:
    world.tampered = True
    tampering.run(world.settings.database_url, statement, **values)


def test_a_rich_log_is_whole_and_progress_is_told(world: World) -> None:
    """Bytes and meaning of the worked example and of a download; each part is told to its end."""
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    told: dict[str, tuple[int, int]] = {}
    results = verifying.verify(world.use, lambda what, *part: told.__setitem__(what, part))
    assert [(result.faults, result.behind, result.abandoned) for result in results] == [([], None, False)]
    assert results[0].size == len(world.entries())
    assert list(told) == [f"{world.clock().year}: bytes", f"{world.clock().year}: meaning"]
    assert {done for done, _ in told.values()} == {total for _, total in told.values()} == {results[0].size}


def rewritten(world: World, entry_id: int, **change: Any) -> dict[str, Any]:
    """A record with a change, as the bytes of a whole entry that somebody put in the place of another."""
    entry = next(entry for entry in world.entries() if entry.id == entry_id)
    record = orjson.dumps({**orjson.loads(entry.record), **change}, option=orjson.OPT_SORT_KEYS)
    return {"id": entry_id, "record": record, "commitment": commitment_of(entry.salt, record)}


EDITS: dict[str, tuple[str, tuple[str, str]]] = {
    "kind": ("UPDATE log_entries SET kind = 'nothing' WHERE id = 3", ("entry 2", "its kind column")),
    "person": ("UPDATE log_entries SET person = 'x@y.example' WHERE id = 3", ("entry 2", "its person column")),
    "time": (
        "UPDATE log_entries SET appended_at = '2001-01-01 00:00:00.000000' WHERE id = 3",
        ("entry 2", "its time column"),
    ),
    "gone": ("DELETE FROM log_entries WHERE id = 3", ("log localhost", "missing")),
    "key": ("UPDATE logs SET vkey = 'x'", ("log localhost", "its key cannot be read")),
    "receipt key": ("UPDATE logs SET receipt_vkey = 'x'", ("log localhost", "its first entry names different keys")),
}


@cases("what", EDITS)
def test_what_the_owner_of_the_database_edits_is_named(world: World, what: str) -> None:
    """The columns that entries are found by, an entry, a key: each fault names its row."""
    statement, (row, sentence) = EDITS[what]
    run(world, statement)
    assert any(place.startswith(row) and sentence in text for place, text in found(world))


def test_a_log_signed_anew_with_another_key_is_seen(world: World) -> None:
    """Whoever can rewrite the whole database has not the key file, and the first entry names the old key."""
    with world.use.database.reading() as session:
        log = logs.current(session)
        newest = sealing.newest_head(session, log.id)
    assert newest is not None
    thief = Signer.from_seed(log.origin, bytes(32))
    note = heads.sign(Head(log.origin, newest.size, newest.root), thief).decode()
    run(world, "UPDATE log_heads SET note = :note WHERE size = :size", note=note, size=newest.size)
    run(world, "UPDATE logs SET vkey = :vkey", vkey=str(thief.key))
    sentences = {sentence for _, sentence in found(world)}
    assert {"its key differs from the key file", "its first entry names different keys"} <= sentences


def test_where_the_key_file_cannot_be_read_the_rest_is_verified(sqlite_world: World) -> None:
    """An auditor's machine has no key of the log, and finds what there is to find without."""
    give_own_keys(sqlite_world)
    sqlite_world.settings.log_key_file.unlink()
    assert found(sqlite_world) == []
    run(sqlite_world, "UPDATE log_entries SET kind = 'nothing' WHERE id = 3")
    assert [row for row, _ in found(sqlite_world)] == ["entry 2"]


LINKS: dict[str, tuple[Callable[[World], dict[str, Any]], str]] = {
    "last head": (lambda world: rewritten(world, first_of_new(world), head="none"), "does not contain the last head"),
    "log before": (lambda world: rewritten(world, first_of_new(world), before="x"), "does not contain the last head"),
    "keys": (lambda world: rewritten(world, first_of_new(world), vkey="x"), "does not open the log with its keys"),
    "next": (lambda world: rewritten(world, first_of_new(world) - 1, next="x"), "its last entry does not name"),
}


def first_of_new(world: World) -> int:
    return world.entries("log.open")[0].id


@cases("link", LINKS)
def test_logs_hold_each_other(world: World, link: str) -> None:
    """The first entry of a log and the last of the one before name each other; with one changed, that is a fault."""
    give_own_keys(world)
    own_keys.rotate(world.use, "A new year.")
    world.seal()
    assert found(world) == []
    change, sentence = LINKS[link]
    run(world, "UPDATE log_entries SET record = :record, commitment = :commitment WHERE id = :id", **change(world))
    assert any(sentence in text for _, text in found(world))


def test_what_the_first_log_allows_counts_in_the_next(world: World) -> None:
    """A download under a clearance of the log before is judged by it: without that entry it is a fault."""
    give_own_keys(world)
    own_keys.rotate(world.use, "A new year.")
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    assert found(world) == []
    approved = world.entries("clearance.approve")
    for entry in approved:
        record = rewritten(world, entry.id, kind="nothing")
        run(world, "UPDATE log_entries SET record = :record, commitment = :commitment WHERE id = :id", **record)
    download = world.entries("download")[-1]
    assert (world.name_of(download.id), "its clearance was not approved") in found(world)


def test_more_faults_than_are_kept_are_counted_as_one(sqlite_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ruined log of a million entries gives a list that can be read."""
    monkeypatch.setattr(verifying, "FAULTS_AT_MOST", 3)
    run(sqlite_world, "UPDATE log_entries SET person = 'x@y.example'")
    faults = found(sqlite_world)
    assert len(faults) == 4
    assert "more faults" in faults[-1][1]


@pytest.mark.parametrize("database", ["older", "other"])
def test_anchors_are_compared_one_by_one(tmp_path: Path, embedded_store: EmbeddedStore, database: str) -> None:
    """An older copy is behind; another history is a fault at each size that was anchored. Neither goes on."""
    with anchored_instance(tmp_path / "own", embedded_store, Clock()) as use:
        path = Path(use.settings.database_url.removeprefix("sqlite:///"))
        use.close()
        shutil.copyfile(path, tmp_path / "backup")
        heartbeat.beat(use)
        seal_and_anchor(use)
        assert [(result.faults, result.behind) for result in verifying.verify(use)] == [([], None)]
        use.close()
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "backup", path)
        if database == "other":
            heartbeat.beat(use)
            sealer.seal(use)
        (result,) = verifying.verify(use)
        with use.database.reading() as session:
            origin = logs.current(session).origin
        sealing.stop(use.database, origin, "a test", use.clock())
        if database == "other":
            assert [fault.row for fault in result.faults] == ["head of size 2"]
            assert result.behind is None
            with pytest.raises(NotPossible, match="two histories"):
                verifying.resume(use, own_keys.admins(use)[0], "Restored.")
        else:
            assert result.faults == []
            assert "has 1 entries, but 2 were anchored" in str(result.behind)
            with pytest.raises(BehindAnchor):
                verifying.resume(use, own_keys.admins(use)[0], "Restored.")
        with use.database.reading() as session, pytest.raises(LogUnsound):
            condition.require_sound(session, use.clock())


def test_an_anchor_that_is_none_is_a_fault(tmp_path: Path, embedded_store: EmbeddedStore) -> None:
    """Also where the size is one that the log never signed a head at; a strange object beside them is none."""
    with anchored_instance(tmp_path / "own", embedded_store, Clock()) as use:
        heartbeat.beat(use)
        seal_and_anchor(use)
        with use.database.reading() as session:
            log = logs.current(session)
        bucket = use.anchor_bucket
        assert bucket is not None
        place = anchors._key(log.origin, 0)
        assert bucket.create(f"{place[:-3]}note", b"by a careless hand")
        assert verifying.verify(use)[0].faults == []
        assert bucket.create(place, b"by a thief")
        assert [fault.row for fault in verifying.verify(use)[0].faults] == ["head of size 0"]


def stopped(world: World, reason: str = "tile 0/0: it does not match the entries") -> None:
    with world.use.database.reading() as session:
        origin = logs.current(session).origin
    sealing.stop(world.use.database, origin, reason, world.clock())


def test_a_log_that_was_mended_goes_on(world: World) -> None:
    """What was changed is changed back; then the log verifies, issues again, and tells of the stop and of its end."""
    entry = world.entries()[3]
    world.tampered = True
    tampering.flip(world.settings.database_url, "log_entries", "record", f"id = {entry.id}", at=-2)
    stopped(world)
    with pytest.raises(NotPossible, match=f"{world.name_of(entry.id)}: its record or salt was changed"):
        verifying.resume(world.use, world.admin, "Mended.")
    with pytest.raises(LogUnsound):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    tampering.flip(world.settings.database_url, "log_entries", "record", f"id = {entry.id}", at=-2)
    verifying.resume(world.use, world.admin, "Mended.")
    assert issuing.issue(world.use, world.caller("cleared"), world.order()).urls
    record = world.records("log.resume")[0]
    assert (record["because"], record["stopped"]) == ("Mended.", "tile 0/0: it does not match the entries")
    assert record["actor"]["person"] == world.admin.person
    world.tampered = False


def test_what_is_not_stopped_is_not_resumed(sqlite_world: World) -> None:
    """Nor by anybody but an admin, nor without a reason."""
    with pytest.raises(NotPossible, match="not stopped"):
        verifying.resume(sqlite_world.use, sqlite_world.admin, "x")
    with pytest.raises(InvalidRequest):
        verifying.resume(sqlite_world.use, sqlite_world.admin, "")
    for who in ("publisher", "auditor", "cleared"):
        with pytest.raises(NotPermitted):
            verifying.resume(sqlite_world.use, sqlite_world.person(who), "x")
    assert sqlite_world.records("log.resume") == []


def test_the_key_of_the_log_is_the_key_file_s(sqlite_world: World) -> None:
    """With another key in the file the log cannot have been sealed here."""
    give_own_keys(sqlite_world)
    sqlite_world.settings.log_key_file.unlink()
    keys.write_note_key(sqlite_world.settings.log_key_file)
    assert found(sqlite_world) == [
        (f"log localhost/downloads/{sqlite_world.clock().year}", "its key differs from the key file")
    ]
    sqlite_world.tampered = True
