"""Meters: what the processes of an instance count, for the metrics that one of them serves.

Counting is an addition in memory; a thread writes the sums to the process's file once a second, so that nobody who
asks for a download waits for it. No label can hold what a client sent or what people named: doors, codes, reasons,
routes and jobs are words of this program.
"""

import atexit
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from server.storage.meter_files import Counted, Place, Series

logger = structlog.get_logger(__name__)
WRITTEN_EVERY_SECONDS = 1
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SEALING_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is counted under a name. Names and units: Prometheus' conventions for naming; a counter's `_total` is added.

    bounds: of a histogram's buckets, in its unit.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


ISSUED = Metric(
    "weightgate_downloads_issued", "counter",
    "Downloads that were logged and whose URLs or keys were then made, by the kind of client.", ("door",),
)  # fmt: skip
ISSUED_FILES = Metric("weightgate_files_issued", "counter", "Files of issued downloads.", ("door",))
ISSUED_BYTES = Metric(
    "weightgate_issued_bytes", "counter",
    "Size of the files of issued downloads. What was really fetched, the store knows.", ("door",),
)  # fmt: skip
REFUSALS = Metric("weightgate_refusals", "counter", "Requests that were refused, by the refusal's code.", ("code",))
UNAVAILABLE = Metric(
    "weightgate_unavailable", "counter",
    "Requests answered with 503 because a part that they need did not do its work, by that part.", ("reason",),
)  # fmt: skip
UNEXPECTED = Metric(
    "weightgate_unexpected_errors", "counter", "Requests answered with 500: faults of this program. Each is logged."
)
REQUESTS = Metric(
    "weightgate_request_seconds", "histogram",
    "Time from the arrival of a request to its answer, by route and class of status (2xx, 3xx, 4xx, 5xx).",
    ("route", "status"), REQUEST_SECONDS,
)  # fmt: skip
SEALING = Metric(
    "weightgate_log_sealing_seconds", "histogram",
    "Time from the appending of an entry of the log to its sealing into the tree.", (), SEALING_SECONDS,
)  # fmt: skip
JOB_FAILURES = Metric(
    "weightgate_worker_job_failures", "counter",
    "Runs of a regular job of the worker that failed and will be tried again, by its name.", ("name",),
)  # fmt: skip
POOL_USED = Metric(
    "weightgate_database_pool_connections_in_use", "gauge",
    "Connections to PostgreSQL that are in use, of all processes of this kind. SQLite has no pool.", ("process",),
)  # fmt: skip
POOL_SIZE = Metric(
    "weightgate_database_pool_connections_max", "gauge",
    "Connections to PostgreSQL that all processes of this kind may use. Who wants more waits.", ("process",),
)  # fmt: skip
METRICS = (
    ISSUED, ISSUED_FILES, ISSUED_BYTES, REFUSALS, UNAVAILABLE, UNEXPECTED, REQUESTS, SEALING, JOB_FAILURES,
    POOL_USED, POOL_SIZE,
)  # fmt: skip


class Meters:
    """Counts for nobody: of commands, and of processes of an instance without metrics."""

    def issued(self, door: str, sizes_bytes: Sequence[int]) -> None:
        """A download was committed to the log."""
        self.add(ISSUED, door)
        self.add(ISSUED_FILES, door, by=len(sizes_bytes))
        self.add(ISSUED_BYTES, door, by=sum(sizes_bytes))

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        """Count; no error."""

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        """Put an observation into its bucket; no error."""

    def watch(self, metric: Metric, label: str, state: Callable[[], float]) -> None:
        """Have a state asked for, once a second, for as long as the process lives."""

    def close(self) -> None:
        """Write what was counted last."""


class ProcessMeters(Meters):
    """Counts for one process, which writes it to its place. Safe for threads; not for use after a fork."""

    def __init__(self, folder: Path, kind: str) -> None:
        """kind: of process, such as `web`. Raises OSError."""
        self._place = Place(folder, kind)
        self._counted = self._place.earlier()
        self._states: dict[Series, Callable[[], float]] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._written: bytes = b""
        self._failed = False

    def start(self) -> "ProcessMeters":
        """Write now, and then once a second until `close` or the end of the process."""
        self.write()
        threading.Thread(target=self._go_on, name="meters", daemon=True).start()
        atexit.register(self.write)
        return self

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        with self._guard:
            sums, series = self._counted.sums, (metric.name, labels)
            sums[series] = sums.get(series, 0) + by

    def observe(self, metric: Metric, seconds: float, *labels: str) -> None:
        with self._guard:
            series, buckets = (metric.name, labels), self._counted.buckets
            counts = buckets.get(series)
            if counts is None or len(counts) != len(metric.bounds) + 2:  # or of a version with other bounds
                counts = buckets[series] = [0.0] * (len(metric.bounds) + 2)
            counts[bisect_left(metric.bounds, seconds)] += 1
            counts[-1] += seconds

    def watch(self, metric: Metric, label: str, state: Callable[[], float]) -> None:
        self._states[metric.name, (label,)] = state

    def write(self) -> None:
        """Write what was counted, if it is something else than before. A disk that does not take it is only told of."""
        with self._guard:
            self._counted.states = {series: state() for series, state in self._states.items()}
            counted = Counted(
                dict(self._counted.sums), {key: [*counts] for key, counts in self._counted.buckets.items()},
                self._counted.states,
            )  # fmt: skip
        if (text := counted.as_json()) == self._written:
            return
        try:
            self._place.write(counted)
            self._written, self._failed = text, False
        except OSError as error:
            if not self._failed:
                logger.warning("what was counted could not be written", error=type(error).__name__)
            self._failed = True

    def close(self) -> None:
        atexit.unregister(self.write)
        self._ended.set()
        self.write()
        self._place.close()

    def _go_on(self) -> None:
        while not self._ended.wait(WRITTEN_EVERY_SECONDS):
            self.write()
