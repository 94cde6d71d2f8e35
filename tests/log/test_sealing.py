"""Sealing: whatever happens between and during rounds, the tree is the one that the definition gives."""

import shutil
import threading
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy.orm import Session

from server.log import entries, heads, sealing
from server.log.heads import Head
from server.log.notes import Signer
from server.log.sealing import SealingStopped
from server.storage.database import Database
from tests import tampering
from tests.log.sealing_states import SealingStates
from tests.log.small_log import AT, SEED, SmallLog

MakeDatabase = Callable[[], str]


def walk(new_database: MakeDatabase, examples: int, steps: int) -> None:
    limits = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
    )  # fmt: skip
    run_state_machine_as_test(lambda: SealingStates(new_database), settings=limits)  # type: ignore[arg-type]  # a factory too


def test_the_tree_is_as_defined_after_every_step_on_sqlite(new_sqlite: MakeDatabase) -> None:
    """Appending, sealing, a second sealer, and crashes before and after the commit, in any order."""
    walk(new_sqlite, examples=20, steps=15)


def test_the_tree_is_as_defined_after_every_step_on_postgresql(new_postgresql: MakeDatabase) -> None:
    """The same over a connection that is cut before the commit arrives, or before its answer does."""
    walk(new_postgresql, examples=3, steps=15)


@pytest.mark.fault
def test_the_tree_is_as_defined_after_very_many_steps(new_database: MakeDatabase) -> None:
    """The same at length."""
    walk(new_database, examples=100, steps=40)


def test_many_sealers_and_appenders_make_one_log(small_log: SmallLog) -> None:
    """Whoever gets the lock seals; no entry is lost, sealed twice, or sealed in another order than that of its id."""
    others = [Database(small_log.url) for _ in range(3)]
    done, faults = threading.Event(), list[BaseException]()

    def keep_sealing(database: Database) -> None:
        try:
            while not done.is_set():
                sealing.seal(database, small_log.signer, lambda: AT)
                done.wait(0.01)
        except BaseException as error:
            faults.append(error)

    def keep_appending() -> None:
        for _ in range(25):
            small_log.append(2)

    sealers = [threading.Thread(target=keep_sealing, args=[database]) for database in others]
    appenders = [threading.Thread(target=keep_appending) for _ in range(2)]
    for thread in (*sealers, *appenders):
        thread.start()
    for thread in appenders:
        thread.join()
    done.set()
    for thread in sealers:
        thread.join()
    for database in others:
        database.close()
    small_log.seal_all()
    assert faults == []
    assert len(small_log.sealed()) == 100
    small_log.check([entry.commitment for entry in small_log.sealed()])


def test_an_entry_that_was_committed_late_is_sealed_all_the_same(new_postgresql: MakeDatabase) -> None:
    """Its id is smaller than that of a sealed one: a cursor over ids would have passed it by."""
    log = SmallLog(new_postgresql())
    with Session(log.database._writer) as slow, slow.begin():
        late = entries.append(slow, kind="test", at=AT, record={}).commitment
        (early,) = log.append()
        assert log.seal() == 1
        log.check([early])
    assert log.seal() == 1
    first, second = log.sealed()
    assert second.id < first.id
    log.check([early, late])
    log.close()


def test_a_round_takes_a_thousand_entries_in_the_order_of_their_ids(sqlite_log: SmallLog) -> None:
    """The rest waits for the next round, and a round without work signs nothing."""
    made = sqlite_log.append(1002)
    assert [sqlite_log.seal(), sqlite_log.seal(), sqlite_log.seal()] == [1000, 2, 0]
    assert [head.size for head in sqlite_log.heads()] == [1000, 1002]
    sqlite_log.check(made)


def test_a_round_of_large_records_is_shorter(sqlite_log: SmallLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a thousand entries of a thousand files each are never held at once; one always gets in."""
    monkeypatch.setattr(sealing, "RECORD_BYTES_A_ROUND", 2500)
    made = sqlite_log.append(7, files="x" * 1000)
    assert [sqlite_log.seal() for _ in range(4)] == [3, 3, 1, 0]
    sqlite_log.check(made)


def test_a_log_without_entries_is_sealed_once(small_log: SmallLog) -> None:
    """Its head is that of the empty tree, and the next round has nothing to do."""
    assert [small_log.seal(), small_log.seal()] == [0, 0]
    assert [head.size for head in small_log.heads()] == [0]
    small_log.check([])
    made = small_log.append(3)
    assert small_log.seal() == 3
    small_log.check(made)


def test_a_signer_of_no_log_seals_nothing(sqlite_log: SmallLog) -> None:
    """Last year's key, or another instance's, finds no log of its own."""
    sqlite_log.append(2)
    stranger = Signer.from_seed("weights.example.org/downloads/2025", SEED)
    assert sealing.seal(sqlite_log.database, stranger, lambda: AT) == 0
    sqlite_log.check([])


def add_tile(log: SmallLog) -> None:
    """Where the next tile belongs, and enough entries to reach it."""
    log.append(200)
    run(log, "INSERT INTO log_tiles SELECT log_id, 0, 3, data FROM log_tiles WHERE level = 1")


OF_602 = r"an unsealed entry \(row 602\)"
STOPS: dict[str, tuple[Callable[[SmallLog], None], str]] = {
    "the edge of level 0": (lambda log: flip_tile(log, 0, 2), "do not match the root"),
    "the edge of level 1": (lambda log: flip_tile(log, 1, 0), "do not match the root"),
    "a shorter tile": (lambda log: run(log, "UPDATE log_tiles SET data = substr(data, 1, 32) WHERE level = 1"),
                       "do not match the root"),
    "no tile": (lambda log: run(log, "DELETE FROM log_tiles WHERE level = 1"), r"tile \(1, 0\) of the log is missing"),
    "a tile too many": (add_tile, "is beyond the current size of the tree"),
    "a different size": (lambda log: run(log, "UPDATE log_heads SET size = 599 WHERE size = 600"),
                     "not what its signature covers"),
    "another root": (lambda log: tampering.flip(log.url, "log_heads", "root", "size = 600"),
                     "not what its signature covers"),
    "another's head": (lambda log: resign(log, Signer.from_seed(log.signer.key.name, bytes(32))), "not signed by"),
    "the stolen key": (lambda log: resign(log, log.signer), "do not match the root"),
    "no note": (lambda log: run(log, "UPDATE log_heads SET note = 'nothing' WHERE size = 600"), "not signed by"),
    "a note of bytes": (lambda log: run(log, "UPDATE log_heads SET note = x'00' WHERE size = 600"), "not signed by"),
    "a record in an editor": (lambda log: run(log, "UPDATE log_entries SET record = 'text' WHERE id = 602"), OF_602),
    "a tile of text": (lambda log: run(log, "UPDATE log_tiles SET data = 'text' WHERE level = 1"),
                       "do not match the root"),
    "an older head": (lambda log: run(log, "DELETE FROM log_heads WHERE size = 600"), "do not match the root"),
    "a place beyond": (lambda log: run(log, "UPDATE log_entries SET leaf_index = 9999 WHERE id = 602"), OF_602),
    "a place before": (lambda log: run(log, "UPDATE log_entries SET leaf_index = -1 WHERE id = 602"), OF_602),
    "the place that is next": (lambda log: run(log, "UPDATE log_entries SET leaf_index = 600 WHERE id = 602"),
                               OF_602),
    "a record": (lambda log: tampering.flip(log.url, "log_entries", "record", "id = 602"), OF_602),
    "a salt": (lambda log: tampering.flip(log.url, "log_entries", "salt", "id = 602"), OF_602),
    "a commitment": (lambda log: tampering.flip(log.url, "log_entries", "commitment", "id = 602"), OF_602),
}  # fmt: skip


def run(log: SmallLog, statement: str) -> None:
    tampering.run(log.url, statement)


def flip_tile(log: SmallLog, level: int, number: int) -> None:
    tampering.flip(log.url, "log_tiles", "data", f"level = {level} AND number = {number}", at=-1)


def resign(log: SmallLog, signer: Signer) -> None:
    """A head over another root, in place of the one that was signed, with all that belongs to it."""
    head = Head(signer.key.name, 600, bytes(32))
    note = heads.sign(head, signer).decode()
    tampering.run(
        log.url, "UPDATE log_heads SET root = :root, note = :note WHERE size = 600", root=head.root, note=note
    )


@pytest.fixture(scope="module")
def long_sqlite(new_sqlite: MakeDatabase) -> SmallLog:
    log = SmallLog(new_sqlite())
    for count in (300, 300):
        log.append(count)
        log.seal()
    log.append(2)
    log.close()  # so that all of it is in the one file
    return log


@pytest.mark.parametrize("what", STOPS)
def test_what_was_changed_is_not_sealed_over(long_sqlite: SmallLog, what: str, new_sqlite: MakeDatabase) -> None:
    """An unsealed row, an edge tile or a head was edited: nothing is sealed, now or later, and a sentence says why.

    Two entries wait behind 600 sealed ones. That all of it stops, on both databases, is for
    `tests/domain/audit/test_sealer.py`.
    """
    url = new_sqlite()
    shutil.copyfile(*(made.removeprefix("sqlite:///") for made in (long_sqlite.url, url)))
    copied = SmallLog(url, long_sqlite.signer.key.name)
    change, sentence = STOPS[what]
    change(copied)
    before = copied.rows()
    for _ in range(2):
        with pytest.raises(SealingStopped, match=sentence):
            copied.seal()
    assert copied.rows() == before
    copied.close()


def test_gaps_in_the_ids_are_no_gaps_in_the_tree(small_log: SmallLog) -> None:
    """Runs of one, two and three ids, between entries of another log, get places without a gap, in two rounds."""
    other, expected = SmallLog(small_log.url, "other.example/downloads/2025"), list[bytes]()
    for counts in ((2, 1, 3), (1, 3, 2)):
        for count in counts:
            expected += small_log.append(count)
            other.append(count)
        assert small_log.seal() == 6
    small_log.check(expected)
    assert other.sealed() == []
    other.close()


def test_the_first_reason_stays(small_log: SmallLog) -> None:
    """What stopped the log is not overwritten by what was found later; a stopped log is not sealed."""
    small_log.append()
    sealing.stop(small_log.database, small_log.signer.key.name, "the first sentence", AT)
    sealing.stop(small_log.database, small_log.signer.key.name, "another one", AT)
    assert (small_log.log().stop_reason, small_log.log().stopped_at) == ("the first sentence", AT)
    with pytest.raises(SealingStopped, match="the first sentence"):
        small_log.seal()
    small_log.check([])
