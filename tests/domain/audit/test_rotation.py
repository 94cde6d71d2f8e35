"""Rotation: the next log begins where the one before it ended, whatever interrupted it; an abandoned one stays."""

import contextlib
import os
import shutil
import stat
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import make_url, select, text
from sqlalchemy.orm import Session

from server.domain.audit import erasure, heartbeat, log_status, logs, rotation, sealer, verifying
from server.domain.downloads import issuing
from server.domain.errors import NotPossible
from server.domain.resources import Resources
from server.log import anchors, entries, heads, receipts, sealing
from server.log.anchors import BehindAnchor
from server.log.entries import Log, LogEntry, NoLog
from server.log.notes import VerifierKey
from server.log.sealing import newest_head
from server.migrations import grants
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import EmbeddedStore
from server.storage.keys import KeyFileError
from tests import own_keys, tampering
from tests.own_keys import KEY_FILES, anchored_instance, give_own_keys, seal_and_anchor
from tests.postgres import PostgreSQL
from tests.world import Clock, World, copied_world


def all_logs(use: Resources) -> list[Log]:
    with use.database.reading() as session:
        return list(session.scalars(select(Log).order_by(Log.id)))


def entries_of(use: Resources, log: Log) -> list[LogEntry]:
    with use.database.reading() as session:
        return list(session.scalars(select(LogEntry).where(LogEntry.log_id == log.id).order_by(LogEntry.id)))


def key_files(use: Resources) -> list[bytes]:
    return [getattr(use.settings, name).read_bytes() for name in KEY_FILES]


def rotated(world: World, **more: Any) -> rotation.Rotated:
    return own_keys.rotate(world.use, **more)


def test_the_next_log_begins_where_the_one_before_it_ended(world: World) -> None:
    """The old log's last entry names the new keys, its last head covers that entry, and the new log begins with it."""
    give_own_keys(world)
    heartbeat.beat(world.use)  # unsealed yet
    before, old_keys = all_logs(world.use)[0], key_files(world.use)
    done = rotated(world)
    old, new = all_logs(world.use)
    assert (done.before, done.origin, done.vkey, done.receipt_vkey) == (
        old.origin,
        new.origin,
        new.vkey,
        new.receipt_vkey,
    )
    assert (old.vkey, new.name) == (before.vkey, f"{old.name}-2")
    assert old.closed_at is not None
    assert new.closed_at is None
    last = entries_of(world.use, old)[-1]
    closing = orjson.loads(last.record)
    assert (closing["kind"], closing["next"]) == ("log.close", new.origin)
    assert (closing["vkey"], closing["receipt_vkey"], closing["because"]) == (new.vkey, new.receipt_vkey, "A new year.")
    with world.use.database.reading() as session:
        head = newest_head(session, old.id)
    assert head is not None
    assert last.leaf_index == head.size - 1 == len(entries_of(world.use, old)) - 1
    opening = orjson.loads(entries_of(world.use, new)[0].record)
    assert (opening["kind"], opening["before"], opening["head"]) == ("log.open", old.origin, head.note)
    assert heads.verify(opening["head"].encode(), VerifierKey.parse(old.vkey)).size == head.size
    kept = world.settings.log_key_file.with_name(f"{world.settings.log_key_file.name}.{old.name}")
    assert kept.read_bytes() == old_keys[0]
    assert not set(key_files(world.use)) & set(old_keys)
    files = [path for path in world.settings.log_key_file.parent.iterdir() if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == 3


def test_downloads_go_on_in_the_next_log(world: World) -> None:
    """A clearance of the old log still counts; the receipt is by the new key; the closed log takes nothing more."""
    give_own_keys(world)
    first = issuing.issue(world.use, world.caller("cleared"), world.order())
    rotated(world)
    second = issuing.issue(world.use, world.caller("cleared"), world.order())
    world.seal()
    old, new = all_logs(world.use)
    for made, log in ((first, old), (second, new)):
        assert receipts.verify(made.receipt, VerifierKey.parse(log.receipt_vkey)).log == log.origin
    with pytest.raises(NoLog), world.use.database.transaction() as session:
        entries.append(session, kind="test", at=world.clock(), record={}, log_id=old.id)
    assert world.faults() == []
    assert [found.abandoned for found in verifying.verify(world.use)] == [False, False]


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the commit": lambda patch: patch.setattr(rotation, "_close", _killed),
    "after the commit": lambda patch: patch.setattr(os, "link", _killed),
    "once the old key is kept": lambda patch: patch.setattr(Path, "replace", _killed),
    "between the two files": lambda patch: patch.setattr(Path, "replace", _first_only(Path.replace)),
}


class Killed(BaseException):
    """As after kill -9: nothing is tidied up."""


def _killed(*_: object) -> None:
    raise Killed


def _first_only(replace: Callable[..., Path]) -> Callable[..., Path]:
    done: list[Path] = []

    def once(self: Path, target: Path) -> Path:
        if done:
            raise Killed
        done.append(self)
        return replace(self, target)

    return once


@pytest.mark.parametrize("moment", BREAKS)
def test_what_was_interrupted_is_finished_by_the_same_command(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Wherever it died, a second run ends with one rotation, and with the keys that the database names."""
    give_own_keys(world)
    with monkeypatch.context() as patch:
        BREAKS[moment](patch)
        with pytest.raises(Killed):
            rotated(world)
    done = rotated(world)
    assert done.finished == (moment != "before the commit")
    old, new = all_logs(world.use)
    assert done.vkey == new.vkey
    assert (world.use.log_signer(new.vkey).key.name, old.name) == (new.origin, str(world.clock().year))
    assert world.use.receipt_signer(new.receipt_vkey)
    assert list(world.settings.log_key_file.parent.glob("*.new")) == []
    assert rotated(world).origin == f"{new.origin[:-1]}3"  # a run after that is the next rotation


def test_a_stopped_log_is_not_closed_in_order(world: World) -> None:
    """What was found to be changed is not sealed and signed once more as if it were whole."""
    give_own_keys(world)
    world.tampered = True
    entry = world.entries()[3]
    tampering.flip(world.settings.database_url, "log_entries", "record", f"id = {entry.id}", at=-2)
    recheck = sealer.Recheck(world.use)
    assert recheck.step() is not None
    with pytest.raises(NotPossible, match="stopped"):
        rotated(world)
    assert len(all_logs(world.use)) == 1
    heartbeat.beat(world.use)  # cannot be sealed any more, as what was proposed and approved
    old = all_logs(world.use)[0]
    own_keys.permit(world.use, abandon=True)
    count = len(entries_of(world.use, old))
    assert rotation.rotate(world.use, world.admin).anchored is None
    new = all_logs(world.use)[1]
    opening = orjson.loads(entries_of(world.use, new)[0].record)
    assert opening["abandoned"] is True
    assert (opening["unsealed"], opening["because"]) == (5, "A new year.")
    assert world.name_of(entry.id) in opening["stopped"]
    assert len(entries_of(world.use, old)) == count
    with world.use.database.reading() as session:
        head = newest_head(session, old.id)
    assert head is not None
    assert opening["head"] == head.note
    known = verifying.verify(world.use)[0]
    assert known.abandoned
    assert world.name_of(entry.id) in {fault.row for fault in known.faults}
    assert world.faults() == []  # of the new log
    world.clock.advance(timedelta(seconds=60))  # what the old log left unsealed does not stop issuing
    assert issuing.issue(world.use, world.caller("cleared"), world.order()).urls


def test_a_sound_log_is_not_abandoned(sqlite_world: World) -> None:
    """Partners hold promises that it would break; nothing was changed by asking."""
    give_own_keys(sqlite_world)
    with pytest.raises(NotPossible, match="has no faults"):
        rotated(sqlite_world, abandon=True)
    assert len(all_logs(sqlite_world.use)) == 1


def test_a_log_whose_key_is_lost_can_only_be_abandoned(sqlite_world: World) -> None:
    """Without its key nothing can be sealed in it; the next log tells its last head all the same."""
    give_own_keys(sqlite_world)
    sqlite_world.settings.log_key_file.unlink()
    with pytest.raises(Exception, match=r"key file .* is missing"):
        rotated(sqlite_world)
    rotated(sqlite_world, abandon=True)
    assert sqlite_world.faults() == []
    assert "head" in orjson.loads(entries_of(sqlite_world.use, all_logs(sqlite_world.use)[1])[0].record)


def test_the_last_head_is_anchored(tmp_path: Path, embedded_store: EmbeddedStore) -> None:
    """A rotation ends with the old log's last head out of the database's reach; both logs agree with their anchors."""
    with anchored_instance(tmp_path / "own", embedded_store, Clock()) as use:
        heartbeat.beat(use)
        assert own_keys.rotate(use, "A new year.").anchored is True
        assert sealer.anchored_size(use) == 1  # of the new log: nobody uses its name again
        old, new = all_logs(use)
        with use.database.reading() as session:
            head = newest_head(session, old.id)
        assert head is not None
        assert use.anchor_bucket is not None
        sizes = {head.size: bytes(32), head.size - 4: bytes(32)}  # that of the beginning, and the last one
        assert list(anchors.differing(use.anchor_bucket, old.origin, sizes.get)) == sorted(sizes)
        assert [(result.faults, result.behind) for result in verifying.verify(use)] == [([], None)] * 2
        assert logs_named(use) == [old.name, new.name]


def logs_named(use: Resources) -> list[str]:
    with use.database.reading() as session:
        return [log.name for log in reversed(logs.newest_first(session))]


def test_after_an_older_backup_the_next_log_has_a_name_of_its_own(
    tmp_path: Path, embedded_store: EmbeddedStore
) -> None:
    """A log behind its anchor is abandoned; the name of a log that the restore undid is not used again."""
    with anchored_instance(tmp_path / "own", embedded_store, Clock()) as use:
        database = Path(use.settings.database_url.removeprefix("sqlite:///"))
        use.close()
        shutil.copyfile(database, tmp_path / "backup")
        heartbeat.beat(use)
        seal_and_anchor(use)
        before = key_files(use)
        own_keys.rotate(use, "Lost in the future.")
        use.close()
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "backup", database)
        for name, content in zip(KEY_FILES, before, strict=True):
            getattr(use.settings, name).write_bytes(content)
        with pytest.raises(BehindAnchor):
            sealer.require_anchored(use)
        with pytest.raises(NotPossible, match="stopped"):
            own_keys.rotate(use, "In order.")
        done = own_keys.rotate(use, "No newer backup.", abandon=True)
        assert done.origin.endswith("-3")
        seal_and_anchor(use)
        old, new = verifying.verify(use)
        assert old.abandoned
        assert "an older backup was restored" in str(old.behind)
        assert (new.faults, new.behind) == ([], None)


def test_two_rotations_at_once_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes second neither closes the new log nor closes the old one again, and its keys are used by nobody."""
    give_own_keys(world)
    old, free_name = all_logs(world.use)[0], rotation._free_name

    def overtaken(use: Resources) -> str:
        monkeypatch.setattr(rotation, "_free_name", free_name)
        rotated(world)
        return free_name(use)

    monkeypatch.setattr(rotation, "_free_name", overtaken)
    with pytest.raises(NotPossible, match="has just been opened"):
        rotated(world)
    assert len(all_logs(world.use)) == 2
    monkeypatch.setattr(logs, "current", lambda _: old)  # as it was read before the lock was there
    with pytest.raises(NotPossible, match="has just been closed"), world.use.database.transaction() as session:
        verifying.locked(session)
    monkeypatch.undo()
    world.seal()
    assert world.faults() == []


def test_nothing_is_lost_while_many_ask(world: World) -> None:
    """Downloads that are issued during a rotation stand in the one log or in the other, and all of it verifies."""
    give_own_keys(world)
    caller, order = world.caller("cleared"), world.order()
    issued: list[str] = []
    stopping = threading.Event()

    def ask() -> None:
        while not stopping.is_set():
            with contextlib.suppress(NoLog, DatabaseUnavailable, KeyFileError):  # the caller would ask again
                issued.append(issuing.issue(world.use, caller, order).id)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        while len(issued) < 20:
            time.sleep(0.01)
        rotated(world)
        known = len(issued)
        while len(issued) < known + 20:
            time.sleep(0.01)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
    world.seal()
    old, new = all_logs(world.use)
    subjects = [
        [entry.subject for entry in entries_of(world.use, log) if entry.kind == "download"] for log in (old, new)
    ]
    assert set(issued) <= {*subjects[0], *subjects[1]}
    assert len(subjects[0]) >= 20
    assert len(subjects[1]) >= 20
    assert world.faults() == []


def test_a_rotation_and_a_download_do_not_wait_for_each_other(
    postgresql_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download takes the generation and then the log's row; so does a rotation, though it needs them otherwise."""
    world, locked = postgresql_world, verifying.locked
    give_own_keys(world)
    issuing.issue(world.use, world.caller("cleared"), world.order())
    downloads: list[Future[issuing.Download]] = []
    with contextlib.closing(Resources(world.settings, world.clock)) as other, ThreadPoolExecutor(1) as pool:

        def then_one_asks(session: Session) -> Log:
            log = locked(session)
            downloads.append(pool.submit(issuing.issue, other, world.caller("cleared"), world.order()))
            until_one_waits(world.use)
            return log

        monkeypatch.setattr(verifying, "locked", then_one_asks)
        rotated(world)
        assert [each.result().stage for each in downloads] == ["gpt-2/774M"]
    monkeypatch.undo()
    world.seal()
    assert world.faults() == []


def until_one_waits(use: Resources) -> None:
    """Until a connection waits for a lock."""
    for _ in range(1000):
        with use.database.reading() as session:
            if session.scalars(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).one() > 0:
                return
        time.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.fixture
def postgresql_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    yield from copied_world(request, tmp_path, "postgresql")


@pytest.fixture
def web_role(postgres: PostgreSQL) -> Iterator[str]:
    """A role that can sign in and nothing else; made before the world, and so gone after it."""
    name = f"web_{uuid.uuid4().hex}"
    postgres.run(f"CREATE ROLE {name} LOGIN PASSWORD 'pass'")
    yield name
    postgres.run(f"DROP ROLE {name}")


@pytest.fixture
def limited(web_role: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world on PostgreSQL whose web role has the web's rights, and whose owner is another."""
    for world in copied_world(request, tmp_path, "postgresql"):
        owner = world.settings.database_url
        url = make_url(owner).set(username=web_role, password="pass").render_as_string(hide_password=False)
        grants.give(owner, url, owner)
        give_own_keys(world, database_url=url, migration_database_url=owner, sealer_database_url=owner)
        yield world


def test_operators_acts_work_with_the_owner_s_role_alone(limited: World) -> None:
    """Rotating, erasing and resuming write as the owner; verifying and the status need the web's role only."""
    use, admin = limited.use, limited.admin
    made = issuing.issue(use, limited.caller("cleared"), limited.order())
    own_keys.rotate(use, "A new year.")
    erasure.erase(use, admin, made.id, "A request.")
    owner = use.as_owner()
    sealing.stop(owner.database, all_logs(use)[1].origin, "a test", limited.clock())
    assert log_status.status(use).problems
    verifying.resume(use, admin, "It was one.")
    assert log_status.status(use).problems == []
    assert sealer.seal(owner) == 1
    assert [result.faults for result in verifying.verify(use)] == [[], []]
    limited.tampered = True  # the check at the end would seal with the web's role
    owner.close()
