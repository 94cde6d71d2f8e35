"""The processes of a load: which of them are killed and come back, and how much memory each of them takes.

Memory is RSS as Linux tells it (`VmRSS`), sampled for each process. A process that lives through the whole load is
judged by the median of its samples in a window after the warm-up and in one of the same length at the end. Those that
are killed are followed by their successors, and told, not judged: no two of them have the same age.
"""

import os
import random
import signal
import statistics
import threading
import time
from collections import defaultdict
from typing import Any

import psutil

from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.machines import Machine

RESTART_SECONDS = 2  # RestartSec of the unit
BACK_SECONDS = 60
ARBITER, SPARED, KILLED, SEALER = "gunicorn", "web worker, spared", "web worker, killed", "log worker"


class Processes:
    """Of both machines. One web worker of each and the log worker of the first are spared, so that memory that is lost
    slowly can be seen."""

    def __init__(self, cluster: Cluster, ledger: Ledger) -> None:
        self._cluster, self._ledger = cluster, ledger
        self._began = time.monotonic()
        self._samples: dict[str, list[tuple[float, int, int]]] = defaultdict(list)  # seconds, process, bytes
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
                try:
                    taken = psutil.Process(pid).memory_info().rss
                except psutil.NoSuchProcess:
                    continue
                self._samples[name].append((time.monotonic() - self._began, pid, taken))

    def rows(self, warm_up_seconds: float, window_seconds: float) -> list[dict[str, Any]]:
        """Memory in MB at the start (after the warm-up) and at the end, for each name."""
        ending = max((samples[-1][0] for samples in self._samples.values()), default=0.0)
        rows = []
        for name, samples in sorted(self._samples.items()):
            early = [mb for at, _, mb in _in_mb(samples) if warm_up_seconds <= at <= warm_up_seconds + window_seconds]
            late = [mb for at, _, mb in _in_mb(samples) if at >= ending - window_seconds]
            if not early or not late:
                continue
            start, end = statistics.median(early), statistics.median(late)
            row = {"process": name, "processes": len({pid for _, pid, _ in samples}), "start_mb": round(start, 1)}
            rows.append(row | {"end_mb": round(end, 1), "growth_percent": round((end / start - 1) * 100, 1)})
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


def _in_mb(samples: list[tuple[float, int, int]]) -> list[tuple[float, int, float]]:
    return [(at, pid, taken / 2**20) for at, pid, taken in samples]


def workers(machine: Machine) -> list[int]:
    """The processes that answer for a machine now."""
    return _children(machine.processes["web"].pid)


def _children(parent: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(parent).children()]
    except psutil.NoSuchProcess:
        return []
