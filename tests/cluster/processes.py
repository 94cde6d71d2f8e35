"""The processes of a load: which of them are killed and come back, and how much memory each of them takes.

Memory is what Linux tells of a process (`/proc/PID/status`), sampled for each. Judged is its own: `RssAnon` and
`RssFile`. What it shares with others by `RssShmem` stands beside it: of nginx those are its zones for limits and TLS
sessions, whose size its configuration fixes (10 MB each) and whose pages count when they are first touched. They fill
for hours without anything being lost, and nginx throws out the oldest of them when one is full.

A process that lives through the whole load is judged by the median of its samples in a window after the warm-up and in
one of the same length at the end. Those that are killed are followed by their successors, and told, not judged: no two
of them have the same age.
"""

import os
import random
import re
import signal
import statistics
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.machines import Machine

RESTART_SECONDS = 2  # RestartSec of the unit
BACK_SECONDS = 60
ARBITER, SPARED, KILLED, SEALER = "gunicorn", "web worker, spared", "web worker, killed", "log worker"


_RSS = re.compile(r"^Rss(Anon|File|Shmem):\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sample:
    """at: seconds since the load began. own_mb: judged; shared_mb: told."""

    at: float
    pid: int
    own_mb: float
    shared_mb: float


class Processes:
    """Of both machines. One web worker of each and the log worker of the first are spared, so that memory that is lost
    slowly can be seen."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._cluster, self._ledger = cluster, ledger
        self._began = time.monotonic()
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        self._spared = {number: min(workers(machine)) for number, machine in enumerate(cluster.machines, start=1)}
        self._lock = threading.Lock()

    def kill_one(self, chance: random.Random, number: int) -> None:
        """kill -9 of a web worker of either machine, or of the second one's log worker; the first ones in turn."""
        what = (1, 2, SEALER)[number] if number < 3 else chance.choice((1, 2, SEALER))
        if what == SEALER:
            machine = self._cluster.machines[1]
            with self._lock:
                machine.kill("worker")
                self._ledger.killed(SEALER)
                time.sleep(RESTART_SECONDS)
                machine.start("worker")
            return
        machine = self._cluster.machines[int(what) - 1]
        victims = [one for one in workers(machine) if one != self._spared[int(what)]]
        if not victims:
            return  # the one before was killed a moment ago
        os.kill(victims[0], signal.SIGKILL)
        self._ledger.killed(f"web worker of machine {what}")

    def sample(self) -> None:
        """Note how much memory each process takes now; a spared one that has ended is a fault."""
        with self._lock:
            for name, pid in self._named():
                if (taken := memory_of(pid)) is not None:
                    self._samples[name].append(Sample(time.monotonic() - self._began, pid, *taken))

    def rows(self, warm_up_seconds: float, window_seconds: float) -> list[dict[str, Any]]:
        """Memory in MB at the start (after the warm-up) and at the end, for each name; `growth_percent` of its own."""
        ending = max((samples[-1].at for samples in self._samples.values()), default=0.0)
        rows = []
        for name, samples in sorted(self._samples.items()):
            early = [one for one in samples if warm_up_seconds <= one.at <= warm_up_seconds + window_seconds]
            late = [one for one in samples if one.at >= ending - window_seconds]
            if not early or not late:
                continue
            start, end = (statistics.median(one.own_mb for one in each) for each in (early, late))
            shared = (statistics.median(one.shared_mb for one in each) for each in (early, late))
            row = {"process": name, "processes": len({one.pid for one in samples}), "start_mb": round(start, 1)}
            row |= {"end_mb": round(end, 1), "growth_percent": round((end / start - 1) * 100, 1)}
            rows.append(
                row | dict(zip(("shared_start_mb", "shared_end_mb"), (round(one, 1) for one in shared), strict=True))
            )
        return rows

    def judge(self, rows: list[dict[str, Any]], percent: float) -> None:
        """Memory of what lived all the time is flat; that it lived is a promise, too."""
        for row in rows:
            if KILLED in row["process"] or (SEALER in row["process"] and "machine 2" in row["process"]):
                continue
            if row["processes"] != 1:
                self._ledger.fault(f"{row['process']}: {row['processes']} processes, though nobody killed it")
            elif row["growth_percent"] >= percent:
                self._ledger.fault(f"{row['process']}: its memory grew by {row['growth_percent']} %")

    def wait_until_back(self) -> None:
        """Until every worker that was killed has its successor."""
        deadline = time.monotonic() + BACK_SECONDS
        while self._cluster.stopped() or any(len(workers(one)) < 2 for one in self._cluster.machines):
            if time.monotonic() > deadline:
                self._ledger.fault(f"not running at the end: {', '.join(self._cluster.stopped()) or 'a web worker'}")
                return
            time.sleep(0.2)

    def _named(self) -> list[tuple[str, int]]:
        named = [("nginx, worker", pid) for pid in _children(self._cluster.front.pid)]
        for number, machine in enumerate(self._cluster.machines, start=1):
            where = f"machine {number}, "
            named.append((where + ARBITER, machine.processes["web"].pid))
            named.append((where + SEALER, machine.processes["worker"].pid))
            named += [
                (where + (SPARED if pid == self._spared[number] else KILLED), pid) for pid in workers(machine)
            ]  # fmt: skip
        return named


def memory_of(pid: int) -> tuple[float, float] | None:
    """A process' own memory and what it shares, in MB; None when it has ended."""
    try:
        told = dict(_RSS.findall(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")))
    except (FileNotFoundError, ProcessLookupError):
        return None
    if not told:  # it has ended, and nobody has asked how
        return None
    anonymous, of_files, shared = (int(told[name]) / 1024 for name in ("Anon", "File", "Shmem"))
    return anonymous + of_files, shared


def workers(machine: Machine) -> list[int]:
    """The processes that answer for a machine now."""
    return _children(machine.processes["web"].pid)


def _children(parent: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(parent).children()]
    except psutil.NoSuchProcess:
        return []
