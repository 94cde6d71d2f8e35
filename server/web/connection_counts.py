"""How many connections each web process has, in memory that all of them share.

gunicorn's processes take connections from one socket, and whichever wakes first takes nearly all that come at once:
of 16 one process was seen with 16, and half of the machine idle.
"""

import mmap
from collections.abc import Iterable

SLOTS = 128  # as many processes as the settings allow, and those that take their place at a reload
_TAKES_NONE = 2**63 - 1


class ConnectionCounts:
    """A slot for each process that takes connections; made before the first of them is forked."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = memoryview(mmap.mmap(-1, 8 * slots)).cast("q")
        for slot in range(slots):
            self._slots[slot] = _TAKES_NONE

    def take_slot(self, taken: Iterable[int | None]) -> int | None:
        """Give a new process the first slot that no running one has: as one that takes no connections yet.

        None when there is no slot left: such a process counts for nothing, and takes what it can.
        """
        slot = min(set(range(len(self._slots))).difference(taken), default=None)
        if slot is not None:
            self.takes_none(slot)
        return slot

    def has(self, slot: int, connections: int) -> None:
        """Say how many this process has, which takes more."""
        self._slots[slot] = connections

    def takes_none(self, slot: int) -> None:
        """Say that this process takes no more: it is full, or about to end."""
        self._slots[slot] = _TAKES_NONE

    def others_are_behind(self, slot: int) -> bool:
        """Whether a process that takes more has at least two fewer connections: for one it is not worth waiting."""
        return self._slots[slot] > min(self._slots) + 1
