"""Anchors on the real embedded store: an older log, and another log of the same name, do not pass for the one kept."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier

import pytest

from server.log import anchors, heads
from server.log.anchors import FIRST_STEP, NEXT_STEPS, BehindAnchor, Forked
from server.log.heads import Head
from server.log.notes import Signer
from server.storage import keys
from server.storage.anchor_bucket import AnchorBucket
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.objects import REQUESTS_AT_ONCE
from tests.log import plain_tree


@pytest.fixture(scope="module")
def bucket(embedded_store: EmbeddedStore) -> Iterator[AnchorBucket]:
    credentials = keys.read_s3_credentials(embedded_store.anchor_key_file)
    with AnchorBucket(
        endpoint_url=embedded_store.endpoint_url, region=REGION, bucket=embedded_store.anchor_bucket,
        addressing="path", credentials=credentials,
    ) as made:  # fmt: skip
        yield made


class KeptLog:
    """A log under an origin of its own. Its root at a size is told from the size alone; `fork` tells another story."""

    def __init__(self, bucket: AnchorBucket) -> None:
        self.bucket = bucket
        self.signer = Signer.from_seed(f"{uuid.uuid4().hex}.example/downloads/2026", bytes(range(32)))
        self.sizes: set[int] = set()  # at which it signed heads

    def root(self, size: int, fork: str = "") -> bytes:
        return plain_tree.root([f"{size} {fork}".encode()] if size else [])

    def head(self, size: int, fork: str = "") -> Head:
        return Head(self.signer.key.name, size, self.root(size, fork))

    def anchor(self, size: int, fork: str = "") -> None:
        head = self.head(size, fork)
        self.sizes.add(size)
        anchors.write(self.bucket, head, heads.sign(head, self.signer))

    def agree(self, size: int, fork: str = "") -> int | None:
        """What a log at this size finds, which signed heads at the sizes that were anchored."""
        return anchors.require_agreement(
            self.bucket, self.head(size, fork), lambda old: self.root(old) if old in self.sizes else None
        )


@pytest.fixture
def log(bucket: AnchorBucket) -> KeptLog:
    return KeptLog(bucket)


def test_without_an_anchor_there_is_nothing_to_disagree_with(log: KeptLog) -> None:
    """A new log, also one that has grown before anchors were kept."""
    assert log.agree(0) is None
    assert log.agree(5000) is None


def test_an_anchor_is_the_head_under_the_hash_of_its_origin(log: KeptLog) -> None:
    """The place is what the specification says, and the content the signed note itself."""
    log.anchor(70)
    name = sha256(log.signer.key.name.encode()).hexdigest()
    note = log.bucket.get_bytes(f"anchors/{name}/00000000000000000070")
    assert heads.verify(note, log.signer.key) == log.head(70)


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_log_that_grew_from_its_anchor_agrees(log: KeptLog, size: int) -> None:
    """At the anchor's own size and after it; anchoring again is no fork."""
    log.anchor(size)
    log.anchor(size)
    assert log.agree(size) == size
    assert log.agree(size + 2000) == size


def test_an_older_log_is_behind_its_anchor(log: KeptLog) -> None:
    """What was restored from a backup is refused, by one entry or by all, with both sizes in a sentence."""
    for size in (3, 90, 100):
        log.anchor(size)
    with pytest.raises(BehindAnchor, match="has 99 entries, but 100 were anchored: an older backup was restored"):
        log.agree(99)
    with pytest.raises(BehindAnchor, match="has 0 entries, but 100"):
        log.agree(0)
    assert log.agree(100) == 100


def test_two_histories_of_one_size_are_a_fork(log: KeptLog) -> None:
    """The head of that size is neither agreed with nor anchored over the first one, which stays."""
    log.anchor(10)
    with pytest.raises(Forked, match="anchored at 10 entries"):
        log.agree(10, fork="other")
    with pytest.raises(Forked, match="a different head was anchored at 10 entries"):
        log.anchor(10, fork="other")
    assert log.agree(10) == 10


def test_a_fork_below_the_head_is_seen(log: KeptLog) -> None:
    """A longer log whose head at the anchor's size was another one, or that never signed one there."""
    log.anchor(10)
    head = log.head(12)
    for root in (log.root(10, fork="other"), None):
        with pytest.raises(Forked, match="anchored at 10 entries"):
            anchors.require_agreement(log.bucket, head, lambda _, root=root: root)  # type: ignore[misc]
    assert log.agree(12) == 10


def test_what_is_no_head_is_a_fork(log: KeptLog) -> None:
    """Bytes under the anchor's name that nobody can read agree with nothing."""
    name = sha256(log.signer.key.name.encode()).hexdigest()
    for size, content in ((4, b""), (5, b"\xff\xfe"), (6, b"a note\n\nof nothing\n")):
        log.bucket.create(f"anchors/{name}/{size:020d}", content)
        log.sizes.add(size)
        with pytest.raises(Forked):
            log.agree(size)
        with pytest.raises(Forked):
            log.anchor(size)


def test_another_signer_of_the_same_head_is_no_fork(log: KeptLog) -> None:
    """Only the three lines count: a witness may have signed one of two notes."""
    log.anchor(8)
    head = log.head(8)
    with_witness = heads.sign(head, log.signer) + "— witness.example AAAAAAAA\n".encode()
    anchors.write(log.bucket, head, with_witness)
    assert log.agree(8) == 8


STEPS = [FIRST_STEP * NEXT_STEPS**count for count in range(4)]


@pytest.mark.parametrize("gap", [step + change for step in STEPS for change in (-1, 0, 1)])
def test_the_newest_anchor_is_found_however_far_back(log: KeptLog, gap: int) -> None:
    """At every step of the look back: the newest one counts, and not one that lies before it."""
    log.anchor(3)
    log.anchor(7)
    assert log.agree(7 + gap) == 7
    log.sizes.remove(7)
    with pytest.raises(Forked, match="anchored at 7 entries"):
        log.agree(7 + gap)


def test_many_anchors_are_looked_through_from_the_end(log: KeptLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of many is taken, and few of them are listed for it."""
    for size in range(0, 20 * 300, 300):
        log.anchor(size)
    newest, keys_after, listed = 19 * 300, log.bucket.keys_after, list[int]()

    def counted(prefix: str, key: str) -> list[str]:
        listed.append(len(found := keys_after(prefix, key)))
        return found

    monkeypatch.setattr(log.bucket, "keys_after", counted)
    assert log.agree(newest) == log.agree(newest + 1) == newest
    assert listed == [0, 4, 0, 4]  # nothing ahead; of the last 1024 entries
    assert log.agree(newest + 100_000) == newest
    assert listed[4:] == [0, 0, 0, 20]  # nothing ahead, in 1024 entries, or in 32 times as many; then all
    with pytest.raises(BehindAnchor):
        log.agree(newest - 1)


def test_two_logs_keep_out_of_each_other_s_way(log: KeptLog, bucket: AnchorBucket) -> None:
    """Sizes and roots of one say nothing of the other."""
    other = KeptLog(bucket)
    log.anchor(500)
    other.anchor(2)
    assert (log.agree(500), other.agree(2)) == (500, 2)
    with pytest.raises(BehindAnchor):
        log.agree(2)


def test_each_of_the_threads_keeps_its_connection(
    bucket: AnchorBucket, log: KeptLog, caplog: pytest.LogCaptureFixture
) -> None:
    """All that read anchors at once do so on one client: nothing is said of a pool that is full."""
    log.anchor(1)
    (key,) = bucket.keys_after(anchors._prefix(log.signer.key.name), anchors._prefix(log.signer.key.name))
    together = Barrier(REQUESTS_AT_ONCE)

    def read(_: int) -> bytes:
        together.wait(20)
        return bucket.get_bytes(key)

    with caplog.at_level("WARNING", "urllib3"), ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        assert len(set(pool.map(read, range(REQUESTS_AT_ONCE * 5)))) == 1
    assert caplog.messages == []
