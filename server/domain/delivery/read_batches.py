"""Batches: some ten thousand lines of access logs, grouped, before anything is asked of the database."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from server.domain.delivery import seen_reads
from server.domain.delivery.seen_reads import Digests, Integers, Mask
from server.storage.access_logs import Read

Group = tuple[str | None, str, str, str]  # download id, object key, address, signer


class Counted(NamedTuple):
    """What a batch adds for one of its groups."""

    read: Read  # the group's first
    requests: int
    bytes_sent: int
    first_ms: int
    last_ms: int


class ReadBatch:
    """Lines in columns, each with the number of its group: a line costs four small integers and its name."""

    def __init__(self) -> None:
        self._numbers: dict[Group, int] = {}
        self.firsts: list[Read] = []  # of each group, by its number
        self._request_keys: list[bytes] = []
        self._at_ms: list[int] = []
        self._bytes_sent: list[int] = []
        self._groups: list[int] = []

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, read: Read) -> None:
        group = (read.download_id, read.object_key, read.address, read.by)
        number = self._numbers.get(group)
        if number is None:
            number = self._numbers[group] = len(self.firsts)
            self.firsts.append(read)
        self._request_keys.append(read.request_key)
        self._at_ms.append(read.at_ms)
        self._bytes_sent.append(read.bytes_sent)
        self._groups.append(number)

    @property
    def at_ms(self) -> Integers:
        return np.array(self._at_ms, dtype=np.int64)

    def digests(self) -> Digests:
        return seen_reads.digests_of(self._request_keys)

    def wanted(self) -> dict[str, set[str]]:
        """Return, for each download id, the object keys that were read under it."""
        wanted: defaultdict[str, set[str]] = defaultdict(set)
        for read in self.firsts:
            if read.download_id is not None:
                wanted[read.download_id].add(read.object_key)
        return wanted

    def times_ms(self) -> list[list[int]]:
        """Return when the lines of each group began."""
        groups = np.array(self._groups, dtype=np.int64)
        order = np.argsort(groups, kind="stable")
        ends = np.cumsum(np.bincount(groups, minlength=len(self.firsts)))[:-1]
        return [part.tolist() for part in np.split(self.at_ms[order], ends)]

    def counted(self, new: Mask) -> list[Counted]:
        """Add up the new lines of each group that has any."""
        groups, at_ms = np.array(self._groups, dtype=np.int64)[new], self.at_ms[new]
        size = len(self.firsts)
        requests = np.bincount(groups, minlength=size)
        sent, first, last = np.zeros(size, np.int64), np.full(size, 2**62, np.int64), np.zeros(size, np.int64)
        np.add.at(sent, groups, np.array(self._bytes_sent, dtype=np.int64)[new])
        np.minimum.at(first, groups, at_ms)
        np.maximum.at(last, groups, at_ms)
        columns = zip(self.firsts, requests.tolist(), sent.tolist(), first.tolist(), last.tolist(), strict=True)
        return [Counted(*values) for values in columns if values[1]]
