"""Mixed load on the cluster, with kills and revokes, and what must hold meanwhile: python -m tests.cluster.load --help.

What is checked, all the time and at the end: each URL that a client holds has an entry in the log; nothing is issued
for a request that began after its revoke had returned; no 5xx but 503 with Retry-After; answers are cut off by kills
alone; memory is flat; receipts are provable; the log verifies with the tables.
"""

import argparse
import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import prepare
from tests.cluster import checks, load_clients
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.processes import Processes
from tests.cluster.publishing import README, STAGE, publish
from tests.cluster.stops import OneClearance, OneToken, Stop

SAMPLE_SECONDS, CHECK_SECONDS = 5, 15
END_SECONDS = 180
PROVEN_AT_THE_END = 100


@dataclass(frozen=True)
class Plan:
    """How long, and how often what. every_seconds: between two kills, and between two revokes."""

    seconds: float
    every_seconds: float
    closed_seconds: float  # between a revoke and the proposal to let it again
    warm_up_seconds: float
    window_seconds: float  # in which memory is sampled for one figure
    growth_percent: float  # of memory, less than which is flat


def plan_of(minutes: float) -> Plan:
    """A sixth of the time warms up, a twelfth is one figure of memory. Below half an hour caches still fill."""
    seconds = minutes * 60
    return Plan(seconds, 60, 15, seconds / 6, seconds / 12, 5 if minutes >= 30 else 25)


# Half a minute of it, for `make faults`: memory still grows while everything is used for the first time.
SHORT = Plan(20, 5, 1.5, 8, 4, 50)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.load", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long [60]")
    parser.add_argument("--data", type=Path, help="the cluster's folder [a new one, removed at the end]")
    parser.add_argument("--json", type=Path, help="also write the summary there")
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        prepare.redis()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # PostgreSQL does not run as root
        with Cluster(given.data or Path(folder) / "cluster", shutil.which("redis-server") or "redis-server") as cluster:
            report = run(cluster, plan_of(given.minutes), lambda line: print(line, flush=True))
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    print(text(report), flush=True)
    return 1 if report["faults"] else 0


def run(cluster: Cluster, plan: Plan, say: Callable[[str], object]) -> dict[str, Any]:
    """Load the cluster as planned; returns the summary, whose `faults` are the promises that broke."""
    ledger, stopping = Ledger(), threading.Event()
    publish(cluster, notes=True)
    stops: list[Stop] = [OneClearance(cluster, ledger), OneToken(cluster, ledger)]
    for stop in stops:
        stop.prepare()
    everyone = load_clients.clients(cluster, ledger) + [asker for stop in stops for asker in stop.askers()]
    before, began = checks.entries(cluster), time.monotonic()
    threads = [load_clients.start(ledger, client, stopping) for client in everyone]
    staff = Staff(cluster, ledger, plan, stops, stopping)
    staff.start()
    processes = Processes(cluster, ledger)
    try:
        _watch(cluster, ledger, plan, processes, staff.is_behind, say)
    finally:
        stopping.set()
        for thread in (*threads, staff):
            thread.join(END_SECONDS)
    seconds = time.monotonic() - began
    processes.wait_until_back()
    memory = processes.rows(plan.warm_up_seconds, plan.window_seconds)
    processes.judge(memory, plan.growth_percent)
    proven = checks.settle(cluster, ledger, PROVEN_AT_THE_END)
    for stop in stops:
        stop.revoke()  # what it let last, so that the cluster is as others know it
    held, _ = ledger.held()
    return {
        "seconds": round(seconds), "requests": ledger.rows(), "urls_of_downloads": len(held),
        "s3_files": len(ledger.keyed), "entries": checks.entries(cluster) - before, "receipts_proven": proven,
        "revokes": {stop.name: {"revokes": stop.revoked, "refused_after": stop.refused} for stop in stops},
        "kills": _counted(what for _, what in ledger.kills), "memory": memory, "memory_flat_below_percent":
        plan.growth_percent, "plan": asdict(plan), "faults": ledger.faults,
    }  # fmt: skip


class Staff(threading.Thread):
    """What staff do meanwhile: revoke this and that in turn, and publish once, in the middle."""

    def __init__(
        self, cluster: Cluster, ledger: Ledger, plan: Plan, stops: Sequence[Stop], stopping: threading.Event
    ) -> None:
        super().__init__(name="staff")
        self._cluster, self._ledger, self._plan, self._stops = cluster, ledger, plan, stops
        self._stopping, self._published = stopping, False

    def is_behind(self) -> bool:
        """Whether something was not done even once, which a busy machine delays."""
        return self.is_alive() and not (self._published and all(stop.revoked for stop in self._stops))

    def run(self) -> None:
        began, number = time.monotonic(), 0
        try:
            while not self._stopping.wait(max(began + number * self._plan.every_seconds - time.monotonic(), 0.5)):
                if not self._published and time.monotonic() - began > self._plan.seconds / 2:
                    _publish(self._cluster, self._ledger)
                    self._published = True
                self._stops[number % len(self._stops)].stop(self._stopping, self._plan.closed_seconds)
                number += 1
        except Exception as error:
            self._ledger.fault(f"staff: {type(error).__name__}: {error}")
            raise


def _publish(cluster: Cluster, ledger: Ledger) -> None:
    digest = publish(cluster, notes=True)
    client = load_clients.asking(cluster, ledger, "cleared")
    order = {"stage": STAGE, "paths": [README]}
    answer = client.ask("issue, after publishing", "POST", "/api/v1/downloads", (201,), json=order)
    if answer is not None:
        ledger.holds("issue, after publishing", answer.json(), str(client.token))
        if answer.json()["files"][0]["sha256"] != digest:
            ledger.fault("an older checkpoint is handed out after a newer one was approved")


def _watch(
    cluster: Cluster,
    ledger: Ledger,
    plan: Plan,
    processes: Processes,
    is_more_to_do: Callable[[], bool],
    say: Callable[[str], object],
) -> None:
    """Sample memory, kill, and look for entries. In the thread that lives longest: what it starts ends with it."""
    began, chance = time.monotonic(), random.Random(60)  # noqa: S311  # no secret
    kill_at, check_at, number, told = began + plan.every_seconds / 2, began + CHECK_SECONDS, 0, 0
    with cluster.resources() as use:
        known: set[str] = set()
        while (now := time.monotonic()) < began + plan.seconds or is_more_to_do():
            processes.sample()
            if now >= kill_at:
                processes.kill_one(chance, number)
                kill_at, number = kill_at + plan.every_seconds, number + 1
            if now >= check_at:
                checks.require_entries(use, ledger, known)
                check_at = now + CHECK_SECONDS
                for sentence in ledger.faults[told:]:
                    say(f"FAULT: {sentence}")
                told = len(ledger.faults)
                say(f"{now - began:6.0f} s  {len(known)} downloads with an entry, {len(ledger.kills)} kills")
            time.sleep(min(SAMPLE_SECONDS, plan.window_seconds / 4))


def _counted(names: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def text(report: dict[str, Any]) -> str:
    """The summary as tables for people."""
    lines = ["", f"{'requests':26} {'status: how often':44} {'p50 ms':>8} {'p99 ms':>8}"]
    for row in report["requests"]:
        statuses = ", ".join(f"{status}: {count}" for status, count in row["statuses"].items())
        lines.append(f"{row['kind']:26} {statuses:44} {row['p50_ms']:8} {row['p99_ms']:8}")
    lines += [
        "",
        f"{'memory (own RSS)':34} {'processes':>9} {'start MB':>9} {'end MB':>9} {'growth':>8} {'shared MB':>12}",
    ]
    for row in report["memory"]:
        cells = f"{row['processes']:9} {row['start_mb']:9} {row['end_mb']:9} {row['growth_percent']:6} %"
        shared = f"{row['shared_start_mb']} → {row['shared_end_mb']}"
        lines.append(f"{row['process']:34} {cells} {shared:>12}")
    kills = ", ".join(f"{count} × {what}" for what, count in report["kills"].items())
    revokes = ", ".join(
        f"{one['revokes']} × {name} ({one['refused_after']} requests refused afterwards)"
        for name, one in report["revokes"].items()
    )
    lines += [
        "", f"killed: {kills}", f"revoked: {revokes}",
        f"{report['entries']} entries in {report['seconds']} s",
        f"{report['urls_of_downloads']} downloads whose URLs clients hold, {report['s3_files']} files by S3 keys",
        f"{report['receipts_proven']} receipts proven at the end",
        *(f"FAULT: {sentence}" for sentence in report["faults"]),
        f"verdict: {'BROKEN' if report['faults'] else 'every promise was kept'}",
    ]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
