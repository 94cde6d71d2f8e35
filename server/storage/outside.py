"""The outside world as issuing needs it: a store that answers and clocks that agree, looked at in the background.

Signed URLs are worth nothing while the store is away, and live too long or too short where clocks differ. To ask on
each request would have every download wait for the network: a thread asks, and a request looks at what it found. If our
clock jumps in between, that shows at once beside the one that only ever goes on.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

CLOCKS_DIFFER_AT_MOST = timedelta(seconds=60)
READ_TO = timedelta(seconds=1)  # an HTTP Date names a second, not a moment in it
PROBED_EVERY_SECONDS = 15
FAILED_PROBES_AT_MOST = 2  # in a row; a store that is started again is not reported

Clock = Callable[[], datetime]
logger = structlog.get_logger(__name__)


class OutsideFault(Exception):
    """The store or a clock is not as signed URLs need it, so nothing is issued. The text says why, and what to do."""


class OutsideError(Exception):
    """One probe was not answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of the newest probe. ahead_seconds: how far their clock was ahead of ours when they last answered."""

    answered: bool
    ahead_seconds: float | None


class Outside:
    """Knows whether the others were there, and what time it was there, when they were last asked. Safe for threads."""

    def __init__(
        self, probes: Mapping[str, Clock], clock: Clock, must_answer: frozenset[str],
        steady: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """probes: by the name of whom they ask; each returns that clock's time, or raises OutsideError, or OutsideFault
        for what is wrong at once.

        must_answer: whose silence is a fault. A clock that differs always is one. steady: seconds, which nobody sets.
        """
        self._steady = steady
        self._agreed: tuple[datetime, float] | None = None  # our clock and the steady one, when another last agreed
        self._probes, self._clock, self._must_answer = probes, clock, must_answer
        self._failed = dict.fromkeys(probes, 0)
        self._faults: dict[str, str] = {}
        self._ahead: dict[str, float] = {}
        self._asked: set[str] = set()
        self._also: list[Callable[[], object]] = []
        self._ended = threading.Event()

    def also(self, act: Callable[[], object]) -> None:
        """Do something else each time, too, that must not fail; before `start`."""
        self._also.append(act)

    def start(self) -> None:
        """Look now and then until `close`; the thread ends with the process."""
        threading.Thread(target=self._go_on, name="outside", daemon=True).start()

    def close(self) -> None:
        self._ended.set()

    def require(self) -> None:
        """Raise OutsideFault for what was found last, and for a jump of our clock since; asks nobody."""
        for fault in self._faults.values():
            raise OutsideFault(fault)
        if self._agreed is not None:
            ours, steady = self._agreed
            jump = self._clock() - ours - timedelta(seconds=self._steady() - steady)
            if abs(jump) > CLOCKS_DIFFER_AT_MOST:
                raise OutsideFault(
                    f"our clock has just been moved by {jump.total_seconds():.0f} s: within "
                    f"{PROBED_EVERY_SECONDS} s it is compared with the others'"
                )

    def answers(self) -> dict[str, Answer]:
        """What came of the newest probe of each who was asked so far."""
        return {name: Answer(self._failed[name] == 0, self._ahead.get(name)) for name in sorted(self._asked)}

    def look(self) -> None:
        """Ask everybody once."""
        faults = {name: fault for name, probe in self._probes.items() if (fault := self._fault(name, probe))}
        if faults != self._faults:
            logger.warning("outside", faults=sorted(faults.values()), failed_probes=self._failed)
        self._faults = faults

    def _go_on(self) -> None:
        while not self._ended.is_set():
            self.look()
            for act in self._also:
                act()
            self._ended.wait(PROBED_EVERY_SECONDS)

    def _fault(self, name: str, probe: Clock) -> str | None:
        before = self._clock()
        self._asked.add(name)
        try:
            theirs = probe()
        except OutsideFault as fault:
            return str(fault)
        except OutsideError:
            self._failed[name] += 1
            if name in self._must_answer and self._failed[name] > FAILED_PROBES_AT_MOST:
                return f"the {name} has not answered {self._failed[name]} times in a row: start it"
            return self._faults.get(name)
        self._failed[name] = 0
        too_late, too_early = theirs - self._clock(), before - theirs - READ_TO
        differ = max(too_late, too_early)
        ahead = too_late if too_late > too_early else -too_early
        self._ahead[name] = 0.0 if differ < timedelta(0) else ahead.total_seconds()
        if differ > CLOCKS_DIFFER_AT_MOST:
            return f"our clock and the {name}'s differ by {differ.total_seconds():.0f} s: run an NTP client on both"
        self._agreed = self._clock(), self._steady()
        return None
