"""The sealer's work: what was changed stops the log for good, and all issuing with it, on both databases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from server.domain.access import clearances
from server.domain.audit import logs, sealer
from server.domain.audit.sealer import Recheck
from server.domain.downloads import issuing
from server.domain.release import holds
from server.domain.release.holds import EVERYTHING
from server.log import anchors, heads, sealing
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import Log
from server.log.heads import Head
from server.log.notes import Signer, VerifierKey
from server.log.sealing import LogHead, SealingStopped
from server.storage.anchor_bucket import AnchorBucket
from server.storage.embedded import EmbeddedStore
from server.storage.keys import KeyFileError, write_note_key
from server.storage.objects import ObjectStoreError
from tests import tampering
from tests.e2e.working import anchor as give_anchors
from tests.long_logs import append_many
from tests.web.problems import require_problem
from tests.world import World, cases


def current(world: World) -> Log:
    with world.use.database.reading() as session:
        return logs.current(session)


def newest(world: World) -> LogHead:
    with world.use.database.reading() as session:
        head = sealing.newest_head(session, logs.current(session).id)
    assert head is not None
    return head


def flip(world: World, table: str, column: str, where: str, at: int = -1) -> None:
    world.tampered = True
    tampering.flip(world.settings.database_url, table, column, where, at)


def run(world: World, statement: str, **values: Any) -> None:
    world.tampered = True
    tampering.run(world.settings.database_url, statement, **values)


def waiting(world: World) -> int:
    return next(entry.id for entry in world.entries() if entry.leaf_index is None)


def sign_with_another_key(world: World) -> None:
    head, origin = newest(world), current(world).origin
    note = heads.sign(Head(origin, head.size, head.root), Signer.from_seed(origin, bytes(32))).decode()
    run(world, "UPDATE log_heads SET note = :note WHERE id = :id", note=note, id=head.id)


TAMPERED: dict[str, tuple[Callable[[World], None], str]] = {
    "an unsealed record": (lambda world: flip(world, "log_entries", "record", f"id = {waiting(world)}"),
                           "it was changed before it was sealed"),
    "an unsealed entry's place": (
        lambda world: run(world, f"UPDATE log_entries SET leaf_index = 9999 WHERE id = {waiting(world)}"),  # noqa: S608
        "has a position outside"),
    "an edge tile": (lambda world: flip(world, "log_tiles", "data", "level = 0 AND number = 0"),
                     "the tiles at the edge do not match the root"),
    "a tile that is missing": (lambda world: run(world, "DELETE FROM log_tiles"), "of the log is missing"),
    "the head's size": (lambda world: run(world, "UPDATE log_heads SET size = size + 1"),
                        "is not what its signature covers"),
    "the head's root": (lambda world: flip(world, "log_heads", "root", f"id = {newest(world).id}"),
                        "is not what its signature covers"),
    "the head's note": (lambda world: run(world, "UPDATE log_heads SET note = replace(note, 'downloads', 'uploads')"),
                        "is not signed by the log's key"),
    "the head's signer": (sign_with_another_key, "is not signed by the log's key"),
}  # fmt: skip


@cases("what", TAMPERED)
def test_what_was_changed_stops_the_log_for_good(world: World, what: str) -> None:
    """The reason is kept as a sentence; nothing is sealed or issued any more, and nobody hears why but the operator."""
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    change, sentence = TAMPERED[what]
    change(world)
    known, signed = len(world.entries()), list(world.signed_urls)
    before = newest(world)
    for _ in range(2):
        with pytest.raises(SealingStopped, match=sentence):
            world.seal()
    log = current(world)
    assert log.stop_reason is not None
    assert sentence in log.stop_reason
    assert log.stopped_at is not None
    assert abs(log.stopped_at - world.clock()) < timedelta(minutes=1)
    with pytest.raises(LogUnsound, match=sentence):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    answer = world.api("POST", "/downloads", json={"stage": "gpt-2/124M"})
    require_problem(answer, 503, "log_unavailable")
    assert answer.headers["Retry-After"] == "2"
    assert sentence not in answer.text
    assert world.client.get("/readyz").status_code == 503
    assert (len(world.entries()), world.signed_urls) == (known, signed)
    assert newest(world).id == before.id


def test_what_is_put_back_does_not_start_the_log_again(world: World) -> None:
    """Only people do, with the database in hand: whoever could change a row could change it back."""
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    entry = waiting(world)
    for _ in range(2):
        flip(world, "log_entries", "record", f"id = {entry}")
        with pytest.raises(SealingStopped):
            world.seal()
    assert world.faults() == []
    with pytest.raises(LogUnsound):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    run(world, "UPDATE logs SET stop_reason = NULL")
    world.seal()
    issuing.issue(world.use, world.caller("cleared"), world.order())
    world.tampered = False


def test_rights_are_still_taken_away_from_a_stopped_log(world: World) -> None:
    """Revoking and holding go on, and are appended, so that whoever mends the log finds them."""
    run(world, "UPDATE logs SET stop_reason = 'a test stopped it'")
    clearances.revoke(world.use, world.admin, 1)
    holds.place(world.use, world.admin, EVERYTHING, "The log is stopped.")
    assert [entry.kind for entry in world.entries()][-2:] == ["clearance.revoke", "hold.place"]
    assert world.api("GET", "/log/entries").status_code == 200


def test_all_that_waits_is_sealed_in_as_many_rounds_as_it_takes(world: World) -> None:
    """And nothing is sealed twice."""
    world.tampered = True  # more entries of no kind than are listed
    world.seal()
    append_many(world, 1002)
    assert [world.seal(), world.seal()] == [1002, 0]
    assert newest(world).size == len(world.entries())


def test_an_old_row_that_was_edited_is_found_within_a_round(world: World) -> None:
    """Sealing and issuing go on over it; `log verify` names it, and looking again finds it and stops the log."""
    append_many(world, 600)
    world.seal()
    entry = next(entry.id for entry in world.entries() if entry.leaf_index == 300)
    flip(world, "log_entries", "record", f"id = {entry}", at=9)
    issuing.issue(world.use, world.caller("cleared"), world.order())
    assert world.seal() == 1
    assert {(fault.row, fault.sentence) for fault in world.faults()} == {
        ("entry 300", "its record or salt was changed"),
        ("entry 300", "its kind uest is unknown"),  # the byte that was flipped
    }
    recheck = Recheck(world.use)
    found = [recheck.step() for _ in range(3)]
    assert [fault is not None for fault in found] == [False, True, False]
    assert current(world).stop_reason == "entry 300: its record or salt was changed"
    with pytest.raises(LogUnsound, match="entry 300"):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    with pytest.raises(SealingStopped):
        world.seal()


def test_looking_again_goes_round(sqlite_world: World) -> None:
    """Every tile comes before one comes twice, also while the log grows; a log without a head has none to look at."""
    world = sqlite_world
    recheck = Recheck(world.use)
    append_many(world, 600 - len(world.entries()))
    world.seal()
    assert [recheck.step() for _ in range(3)] == [None] * 3
    flip(world, "log_tiles", "data", "level = 0 AND number = 0")
    assert recheck.step() is not None  # it began anew
    run(world, "DELETE FROM log_heads")
    assert recheck.step() is None


@pytest.mark.parametrize(("tiles", "at_once"), [(1, 1), (43_199, 1), (43_200, 2), (400_000, 10)])
def test_a_round_takes_half_a_day_at_most(tiles: int, at_once: int) -> None:
    """However long the log is: so that the whole of it is looked at once a day."""
    assert sealer.tiles_a_step(tiles) == at_once
    assert tiles / at_once * sealer.RECHECK_EVERY_SECONDS <= 12 * 3600


def test_with_another_key_file_nothing_is_sealed_or_stopped(sqlite_world: World) -> None:
    """The wrong file is a mistake of ours and no sign of an attack: the right one goes on where it was."""
    world, right = sqlite_world, sqlite_world.use
    world.seal()
    issuing.issue(right, world.caller("cleared"), world.order())
    other = world.folder / "other.key.pem"
    write_note_key(other)
    wrong = type(right)(world.settings.model_copy(update={"log_key_file": other}), world.clock)
    with pytest.raises(KeyFileError, match="is not the key of localhost/downloads/"):
        sealer.seal(wrong)
    wrong.close()
    assert current(world).stop_reason is None
    assert world.seal() == 1


# Anchors --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def anchored(world: World, embedded_store: EmbeddedStore) -> World:
    """A world whose newest head is anchored, in a bucket of its own."""
    give_anchors(world, embedded_store)
    world.seal()
    sealer.anchor(world.use)
    return world


def bucket_of(world: World) -> AnchorBucket:
    bucket = world.use.anchor_bucket
    assert bucket is not None
    return bucket


def require_stopped(world: World, reason: str) -> None:
    """Nothing is issued or sealed any more, and everybody who asks is told the same."""
    world.tampered = True
    assert reason in str(current(world).stop_reason)
    with pytest.raises(LogUnsound, match=reason):
        issuing.issue(world.use, world.caller("cleared"), world.order())
    with pytest.raises(SealingStopped, match=reason):
        world.seal()


def test_a_head_is_anchored_and_agreed_with(anchored: World) -> None:
    """The note itself, once; a log that has grown since agrees, and anchors its next head beside it."""
    log, first = current(anchored), newest(anchored)
    key = VerifierKey.parse(log.vkey)
    (name,) = bucket_of(anchored).list_keys("anchors/")
    assert heads.verify(bucket_of(anchored).get_bytes(name), key) == Head(log.origin, first.size, first.root)
    sealer.require_anchored(anchored.use)
    issuing.issue(anchored.use, anchored.caller("cleared"), anchored.order())
    anchored.seal()
    sealer.require_anchored(anchored.use)
    assert sealer.anchored_size(anchored.use) == first.size
    sealer.anchor(anchored.use)
    assert sealer.anchored_size(anchored.use) == first.size + 1
    assert len(bucket_of(anchored).list_keys("anchors/")) == 2


def test_a_log_behind_its_anchor_is_stopped(anchored: World) -> None:
    """As after the restore of an older backup: it is refused to start with, and nothing is issued."""
    log, size = current(anchored), newest(anchored).size
    anchors.write(bucket_of(anchored), Head(log.origin, size + 3, bytes(32)), b"")
    with pytest.raises(BehindAnchor, match=f"has {size} entries, but {size + 3} were anchored"):
        sealer.require_anchored(anchored.use)
    require_stopped(anchored, "an older backup was restored")


@pytest.mark.parametrize("when", ["now", "before"])
def test_a_log_with_two_histories_is_stopped(anchored: World, when: str) -> None:
    """Whether the anchored head that it is not has its size, or a size at which it once signed another."""
    head = newest(anchored)
    run(anchored, "UPDATE log_heads SET root = :root WHERE id = :id", root=bytes(32), id=head.id)
    if when == "before":
        note = anchored_note(anchored, head.size + 1)
        run(
            anchored,
            "INSERT INTO log_heads (id, log_id, size, root, note, sealed_at) "
            "SELECT :new, log_id, size + 1, :root, :note, sealed_at FROM log_heads WHERE id = :id",
            new=head.id + 1, id=head.id, root=bytes(32), note=note,
        )  # fmt: skip
    with pytest.raises(Forked, match=f"anchored at {head.size} entries"):
        sealer.anchor(anchored.use)
    require_stopped(anchored, "anchored")


def anchored_note(world: World, size: int) -> str:
    log = current(world)
    return heads.sign(Head(log.origin, size, bytes(32)), world.use.log_signer(log.vkey)).decode()


def test_two_logs_that_anchor_at_once_are_a_fork(anchored: World) -> None:
    """Who comes second finds the other's head in its place: between its look at the anchors and its own."""
    issuing.issue(anchored.use, anchored.caller("cleared"), anchored.order())
    anchored.seal()
    head = newest(anchored)
    bucket, create = bucket_of(anchored), bucket_of(anchored).create

    def other_first(key: str, content: bytes, **headers: str) -> bool:
        create(key, anchored_note(anchored, head.size).encode())
        return create(key, content)

    bucket.create = other_first  # type: ignore[method-assign]
    with pytest.raises(Forked, match=f"a different head was anchored at {head.size} entries"):
        sealer.anchor(anchored.use)
    require_stopped(anchored, "a different head was anchored")


def test_another_worker_s_newer_anchor_is_not_taken_for_a_restored_backup(anchored: World) -> None:
    """It sealed and anchored between this one's look at the log and its look at the anchors."""
    anchored.tampered = True  # it did not come to tell the database
    bucket, listed = bucket_of(anchored), bucket_of(anchored).keys_after
    asked: list[str] = []

    def other_meanwhile(prefix: str, key: str) -> list[str]:
        asked.append(key)
        if len(asked) in {1, 4}:
            append_many(anchored, 1)
            anchored.seal()
            head = newest(anchored)
            anchors.write(bucket, Head(current(anchored).origin, head.size, head.root), head.note.encode())
        return listed(prefix, key)

    bucket.keys_after = other_meanwhile  # type: ignore[method-assign]
    for _ in range(3):
        sealer.require_anchored(anchored.use)
    assert len(asked) >= 6
    assert current(anchored).stop_reason is None


def test_anchors_that_cannot_be_read_stop_nothing(anchored: World) -> None:
    """A store that is down says nothing of the log; it is asked again a minute later."""
    use = type(anchored.use)(
        anchored.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1"}), anchored.clock
    )
    for work in (sealer.require_anchored, sealer.anchor):
        with pytest.raises(ObjectStoreError):
            work(use)
    use.close()
    assert current(anchored).stop_reason is None
    issuing.issue(anchored.use, anchored.caller("cleared"), anchored.order())


def test_without_a_bucket_nothing_is_anchored(sqlite_world: World) -> None:
    """That is allowed; `doctor` says what it costs."""
    assert sqlite_world.use.anchor_bucket is None
    sealer.require_anchored(sqlite_world.use)
    sealer.anchor(sqlite_world.use)
    assert sealer.anchored_size(sqlite_world.use) is None
