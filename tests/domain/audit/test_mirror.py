"""The mirror of the log, in a real store: verified from there alone, never ahead of its tiles, never replaced."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from server.domain.audit import log_status, logs, mirror
from server.domain.audit.mirror import MirrorDiffers, MirroredLog
from server.log import cosignatures, entries, heads, notes, published, tiles
from server.log.cosignatures import Cosignature
from server.log.heads import Head
from server.log.notes import VerifierKey
from server.log.tiles import ENTRIES, Tile
from server.storage.log_bucket import LogBucket
from server.storage.objects import ObjectStoreError
from tests import own_keys
from tests.interop.log_folder import bundles_of
from tests.own_keys import give_own_keys
from tests.own_store import own_bucket
from tests.world import World


@pytest.fixture
def bucket(world: World) -> Iterator[LogBucket]:
    """The world's mirror, in a bucket of its own."""
    with own_bucket(world) as name:
        give_own_keys(
            world, log_mirror=f"{name}/log", log_mirror_key_file=str(world.settings.publisher_key_file)
        )  # fmt: skip
        found = world.use.log_mirror
        assert found is not None
        yield found


def grow(world: World, by: int) -> None:
    """Append entries, and seal them."""
    with world.use.database.transaction() as session:
        for number in range(by):
            entries.append(session, kind="test", at=world.clock(), record={"number": number})
    world.seal()


def name_of(world: World) -> str:
    with world.use.database.reading() as session:
        return logs.current(session).name


def head_of(world: World, bucket: LogBucket) -> Head:
    with world.use.database.reading() as session:
        found = mirror.head_in(bucket, logs.current(session))
    assert found is not None
    return found


def tiles_in(bucket: LogBucket, log: str) -> set[str]:
    return {key.partition(f"{log}/")[2] for key in bucket.list_keys(f"{bucket.folder}{log}/tile/")}


def wanted(size: int) -> set[str]:
    return {tile.path for tile in (*tiles.tiles_of(size), *bundles_of(size))}


def test_the_mirror_has_what_the_server_serves(world: World, bucket: LogBucket) -> None:
    """Byte for byte, at two sizes, with the headers of what may be kept and of what may not; then there is no more."""
    for by in (0, 300):
        grow(world, by)
        world.clock.advance(timedelta(seconds=61))
        assert mirror.mirror(world.use) > 0
        name, head = name_of(world), head_of(world, bucket)
        assert wanted(head.size) <= tiles_in(bucket, name)
        for path in wanted(head.size):
            assert bucket.get_bytes(f"log/{name}/{path}") == world.client.get(f"/log/{path}").data
        assert bucket.get_bytes(f"log/{name}/checkpoint") == world.client.get("/log/checkpoint").data
    assert mirror.mirror(world.use) == 0
    assert headers_of(bucket, f"log/{name}/checkpoint") == ("text/plain; charset=utf-8", "public, max-age=5")
    for path in ("tile/0/000", "tile/entries/000"):
        expected = "application/octet-stream", "public, max-age=31536000, immutable"
        assert headers_of(bucket, f"log/{name}/{path}") == expected


def headers_of(bucket: LogBucket, key: str) -> tuple[str, str]:
    """Content type and cache control, as readers get them."""
    answer = bucket._client.head_object(Bucket=bucket.bucket, Key=key)
    return answer["ContentType"], answer["CacheControl"]


@pytest.mark.parametrize(
    ("before", "size"), [(0, 1), (0, 255), (1, 255), (255, 256), (256, 257), (200, 70_000), (65_535, 65_536), (7, 7)]
)
def test_new_tiles_are_those_that_the_smaller_tree_has_not(before: int, size: int) -> None:
    """Against all tiles of both; entry bundles likewise."""

    def everything(size: int) -> set[Tile]:
        return {*tiles.tiles_of(size), *bundles_of(size)}

    found = list(mirror.new_tiles(before, size))
    assert len(found) == len(set(found))
    assert set(found) == everything(size) - everything(before)


def test_the_head_comes_last(world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails before it, readers keep the head whose tiles are all there; the next run completes it."""
    grow(world, 300)
    mirror.mirror(world.use)
    before = head_of(world, bucket)
    grow(world, 300)
    create, made = LogBucket.create, []

    def fails_at_the_third(self: LogBucket, key: str, content: bytes, **headers: str) -> bool:
        made.append(key)
        if len(made) == 3:
            raise ObjectStoreError("the connection was cut")
        return create(self, key, content, **headers)

    monkeypatch.setattr(LogBucket, "create", fails_at_the_third)
    with pytest.raises(ObjectStoreError):
        mirror.mirror(world.use)
    assert head_of(world, bucket) == before
    monkeypatch.undo()
    mirror.mirror(world.use)
    after = head_of(world, bucket)
    assert after.size == before.size + 300
    assert wanted(after.size) <= tiles_in(bucket, name_of(world))


def test_a_tile_that_is_there_and_differs_is_never_replaced(world: World, bucket: LogBucket) -> None:
    """And no head is written over it."""
    grow(world, 300)
    key = f"log/{name_of(world)}/{Tile(ENTRIES, 0).path}"
    bucket.put_bytes(key, b"of another log")
    with pytest.raises(MirrorDiffers, match="never replaced"):
        mirror.mirror(world.use)
    assert bucket.get_bytes(key) == b"of another log"
    with world.use.database.reading() as session:
        assert mirror.head_in(bucket, logs.current(session)) is None


def test_another_head_in_the_mirror_is_not_written_over(world: World, bucket: LogBucket) -> None:
    """One that no key of ours signed, one of a fork, and one that is ahead: each with its sentence."""
    grow(world, 10)
    mirror.mirror(world.use)
    with world.use.database.reading() as session:
        log = logs.current(session)
    key, real = f"log/{log.name}/checkpoint", head_of(world, bucket)
    signer = world.use.log_signer(log.vkey)
    impostor = notes.Signer.from_seed(log.origin, bytes(range(32)))
    for note, sentence in [
        (b"nonsense", "is not its own"),
        (heads.sign(real, impostor), "is not its own"),
        (heads.sign(Head(log.origin, real.size, bytes(32)), signer), "it is a fork"),
        (heads.sign(Head(log.origin, real.size + 99, bytes(32)), signer), "more than the log has"),
    ]:
        bucket.replace(key, note)
        world.clock.advance(timedelta(seconds=61))
        with pytest.raises(MirrorDiffers, match=sentence):
            mirror.mirror(world.use)
        assert bucket.get_bytes(key) == note


def test_a_log_that_was_closed_keeps_its_own_place(world: World, bucket: LogBucket) -> None:
    """With its last head; the new log has a folder of its own, and both verify under their keys."""
    old = name_of(world)
    own_keys.rotate(world.use)
    grow(world, 3)
    mirror.mirror(world.use)
    with world.use.database.reading() as session:
        for log in logs.newest_first(session):
            note = bucket.get_bytes(f"log/{log.name}/checkpoint")
            head = heads.verify(note, VerifierKey.parse(log.vkey))
            assert wanted(head.size) <= tiles_in(bucket, log.name)
    assert name_of(world) != old


def test_a_long_log_is_mirrored_in_steps(world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """By heads that were signed on the way, so that readers see it grow, and a lease is never outlived."""
    for _ in range(3):
        grow(world, 100)
    monkeypatch.setattr(mirror, "STEP_ENTRIES", 120)
    seen: list[int] = []
    replace = LogBucket.replace

    def watched(self: LogBucket, key: str, content: bytes, **headers: Any) -> None:
        seen.append(int(content.split(b"\n")[1]))
        replace(self, key, content, **headers)

    monkeypatch.setattr(LogBucket, "replace", watched)
    mirror.mirror(world.use)
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == head_of(world, bucket).size


def test_one_worker_writes_at_a_time(world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one is at it, the other does nothing; a lease that ran out is taken, and the late one no longer tells."""
    grow(world, 5)
    replace, begun, go_on = LogBucket.replace, threading.Event(), threading.Event()

    def waits(self: LogBucket, key: str, content: bytes, **headers: str) -> None:
        begun.set()
        assert go_on.wait(20)
        replace(self, key, content, **headers)

    monkeypatch.setattr(LogBucket, "replace", waits)
    first = threading.Thread(target=mirror.mirror, args=(world.use,))
    first.start()
    assert begun.wait(20)
    assert mirror.mirror(world.use) == 0
    monkeypatch.undo()
    world.clock.before = lambda: None
    world.clock.advance(mirror.LEASE + timedelta(seconds=1))
    assert mirror.mirror(world.use) > 0
    go_on.set()
    first.join()
    with world.use.database.reading() as session:
        (row,) = session.query(MirroredLog).all()
        assert row.busy_until is None
        assert row.size == head_of(world, bucket).size


def test_a_late_worker_leaves_the_newer_head(world: World, bucket: LogBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease ran out over its tiles, and another took it and was done: it writes no head and tells nothing."""
    grow(world, 5)
    create, begun, go_on, made = LogBucket.create, threading.Event(), threading.Event(), []

    def waits(self: LogBucket, key: str, content: bytes, **headers: str) -> bool:
        if threading.current_thread().name.startswith("mirror"):
            begun.set()
            assert go_on.wait(20)
        return create(self, key, content, **headers)

    monkeypatch.setattr(LogBucket, "create", waits)
    late = threading.Thread(target=lambda: made.append(mirror.mirror(world.use)))
    late.start()
    assert begun.wait(20)
    monkeypatch.undo()
    world.clock.before = lambda: None
    world.clock.advance(mirror.LEASE + timedelta(seconds=1))
    grow(world, 300)
    assert mirror.mirror(world.use) > 0
    newer = head_of(world, bucket)
    go_on.set()
    late.join()
    assert made == [2]  # tiles, and no head
    assert head_of(world, bucket) == newer
    with world.use.database.reading() as session:
        (row,) = session.query(MirroredLog).all()
        assert (row.size, row.busy_until) == (newer.size, None)


def test_the_head_has_its_cosignatures(world: World, bucket: LogBucket) -> None:
    """As `/log/checkpoint` has them: those that it has when it is written, and those that come later."""
    grow(world, 5)
    witness = notes.Signer.from_seed("witness.example/w", bytes(range(32)))
    key = f"log/{name_of(world)}/checkpoint"
    for number in range(2):
        with world.use.database.transaction() as session:
            head = published.head(session, logs.current(session))
            line = notes.sign(Head.parse("\n".join(head.note.split("\n")[:3]) + "\n").text, witness).split(b"\n\n")[1]
            cosignatures.keep(
                session,
                Cosignature(
                    log_id=head.log_id, size=head.size, witness=f"w{number}", line=line.decode(),
                    cosigned_at=world.clock(),
                ),
            )  # fmt: skip
        world.clock.advance(timedelta(seconds=61))
        assert mirror.mirror(world.use) > 0
        assert bucket.get_bytes(key) == world.client.get("/log/checkpoint").data
        assert bucket.get_bytes(key).count(b"witness.example/w") == number + 1
        world.clock.advance(timedelta(seconds=61))
        assert mirror.mirror(world.use) == 0


def test_the_status_tells_how_far_it_is_behind(world: World, bucket: LogBucket) -> None:
    """In entries, and since when; an instance without a mirror says that it keeps none."""
    grow(world, 5)
    found = log_status.known(world.use)
    assert (found.mirror_is_kept, found.mirrored_size, found.mirrored_at) == (True, 0, None)
    mirror.mirror(world.use)
    found = log_status.known(world.use)
    assert found.mirrored_size == found.size
    assert found.mirrored_at is not None
    grow(world, 2)
    found = log_status.known(world.use)
    assert found.size - found.mirrored_size == 2


def test_without_a_mirror_nothing_is_done(world: World) -> None:
    """The default."""
    assert mirror.mirror(world.use) == 0
    assert not log_status.known(world.use).mirror_is_kept
