"""Batches: what is counted of a group, against a plain sum."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.domain.delivery.read_batches import ReadBatch
from server.storage.access_logs import Read

READS = st.builds(
    lambda at, sent, key, address, download: Read(
        b"name", at, "GET", 200, sent, key, address, download, "signer", None, None, None
    ),
    st.integers(0, 2**42), st.integers(0, 2**46), st.sampled_from("kl"), st.sampled_from("ab"),
    st.sampled_from([None, "d", "e"]),
)  # fmt: skip


@given(st.lists(st.tuples(READS, st.booleans()), max_size=60))
def test_groups_are_summed(lines: list[tuple[Read, bool]]) -> None:
    """Requests, bytes, first and last of each group's new lines, and of all of them when they began."""
    batch = ReadBatch()
    for read, _ in lines:
        batch.add(read)
    sums: defaultdict[tuple[object, ...], list[Read]] = defaultdict(list)
    all_times: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for read, is_new in lines:
        group = (read.download_id, read.object_key, read.address)
        all_times[group].append(read.at_ms)
        if is_new:
            sums[group].append(read)
    counted = batch.counted(np.array([is_new for _, is_new in lines], dtype=np.bool_))
    assert {
        (c.read.download_id, c.read.object_key, c.read.address): (c.requests, c.bytes_sent, c.first_ms, c.last_ms)
        for c in counted
    } == {
        group: (len(some), sum(r.bytes_sent for r in some), min(r.at_ms for r in some), max(r.at_ms for r in some))
        for group, some in sums.items()
    }
    firsts = [(r.download_id, r.object_key, r.address) for r in batch.firsts]
    if lines:
        assert dict(zip(firsts, batch.times_ms(), strict=True)) == dict(all_times)
    assert len(batch) == len(lines)
    wanted = {(download, key) for download, keys in batch.wanted().items() for key in keys}
    assert wanted == {(r.download_id, r.object_key) for r, _ in lines if r.download_id is not None}
