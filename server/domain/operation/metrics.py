"""Metrics: what the processes have counted and what was last seen of the instance, in Prometheus' terms."""

import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from server.domain.meters import METRICS, Metric
from server.domain.operation import figures
from server.domain.operation.health import Look
from server.storage import meter_files
from server.storage.meter_files import Seen, Series


class InstanceMetrics(Collector):
    """All metrics of an instance, as one machine sees it. Asks nobody: what was last seen is given to it."""

    def __init__(self, folder: Path, dialect: str) -> None:
        """folder: where the processes write what they count. dialect: of the database."""
        self._folder, self._dialect = folder, dialect
        self.look: Look | None = None  # None: too long ago

    def collect(self) -> Iterator[Family]:
        places = list(meter_files.read(self._folder))
        yield from (_added_up(metric, places) for metric in METRICS)
        yield from _of_processes(places)
        yield _info(self._dialect)
        yield from figures.of(self.look)


def _added_up(metric: Metric, places: list[Seen]) -> Family:
    """One metric, as the sum of what all processes have counted; of states, as those that live are in."""
    if metric.kind == "histogram":
        return _histogram(metric, places)
    sums: dict[tuple[str, ...], float] = {}
    for place in places:
        part = place.counted.states if metric.kind == "gauge" else place.counted.sums
        for labels, value in _of(metric, part):
            sums[labels] = sums.get(labels, 0) + value
    kind = GaugeMetricFamily if metric.kind == "gauge" else CounterMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(sums.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, places: list[Seen]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    sums: dict[tuple[str, ...], list[float]] = {}
    for place in places:
        for labels, counts in _of(metric, place.counted.buckets):
            if len(counts) == len(metric.bounds) + 2:  # not of a version with other bounds
                before = sums.get(labels, [0.0] * len(counts))
                sums[labels] = [one + other for one, other in zip(before, counts, strict=True)]
    bounds = [*map(str, metric.bounds), "+Inf"]
    for labels, counts in sorted(sums.items()):
        family.add_metric(labels, list(zip(bounds, accumulate(counts[:-1]), strict=True)), counts[-1])
    return family


def _of(metric: Metric, part: dict[Series, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """What was counted under this name, with the labels that it has in this version."""
    for (name, labels), value in part.items():
        if name == metric.name and len(labels) == len(metric.labels):
            yield labels, value


def _of_processes(places: list[Seen]) -> Iterator[Family]:
    running = [(place, place.pid) for place in places if place.pid is not None]
    alive = GaugeMetricFamily(
        "weightgate_processes", "Processes of this machine that run now, by kind.", labels=["kind"]
    )
    for kind in sorted({place.kind for place in places}):
        alive.add_metric([kind], sum(place.kind == kind for place, _ in running))
    yield alive
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for place, pid in running:
        for found in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            name = f"weightgate_{found.name}"
            if name not in families:
                family = CounterMetricFamily if found.type == "counter" else GaugeMetricFamily
                families[name] = family(name, f"{found.documentation.rstrip('.')}, by process.", labels=["process"])
            families[name].add_metric([place.name], found.samples[0].value)
    yield from families.values()


def _info(dialect: str) -> Family:
    labels = {"version": version("weightgate-server"), "python": platform.python_version(), "database": dialect}
    family = GaugeMetricFamily("weightgate_build_info", "Always 1: which program runs, on what.", labels=[*labels])
    family.add_metric([*labels.values()], 1)
    return family
