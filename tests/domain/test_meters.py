"""Meters: what is counted, where, and that nobody's request depends on it."""

from pathlib import Path

import pytest
from sqlalchemy import text

from server.domain import meters
from server.domain.downloads import issuing, keyed_downloads
from server.domain.downloads.keyed_downloads import KeyedFile
from server.domain.errors import NotCleared
from server.domain.meters import (
    ISSUED,
    ISSUED_BYTES,
    ISSUED_FILES,
    JOB_FAILURES,
    METRICS,
    POOL_SIZE,
    POOL_USED,
    REFUSALS,
    SEALING,
    Metric,
    ProcessMeters,
)
from server.storage import meter_files
from tests.world import World


def sums(folder: Path) -> dict[tuple[str, ...], float]:
    """What is written, without what is 0."""
    return {
        (name, *labels): value
        for seen in meter_files.read(folder)
        for (name, labels), value in seen.counted.sums.items()
        if value
    }


@pytest.fixture
def counting(world: World, tmp_path: Path) -> World:
    """The worked example, counting into `tmp_path/metrics`; written only when a test says so."""
    world.use.meters = ProcessMeters(tmp_path / "metrics", "web")
    return world


def written(world: World, tmp_path: Path) -> dict[tuple[str, ...], float]:
    assert isinstance(world.use.meters, ProcessMeters)
    world.use.meters.write()
    return sums(tmp_path / "metrics")


def test_a_download_is_counted_once_it_is_committed(counting: World, tmp_path: Path) -> None:
    """By the door that it came in, with its files and their bytes; a refused one is counted by its code alone."""
    download = issuing.issue(counting.use, counting.caller("cleared"), counting.order())
    counting.api("POST", "/downloads", "cleared", json={"stage": "gpt-2/774M"})
    counting.api("POST", "/downloads", "uncleared", json={"stage": "gpt-2/774M"})
    size_bytes = sum(file.size_bytes for file in download.files)
    assert written(counting, tmp_path) == {
        (ISSUED.name, "token"): 1,
        (ISSUED_FILES.name, "token"): len(download.files),
        (ISSUED_BYTES.name, "token"): size_bytes,
        (ISSUED.name, "api"): 1,
        (ISSUED_FILES.name, "api"): len(download.files),
        (ISSUED_BYTES.name, "api"): size_bytes,
        (REFUSALS.name, NotCleared.code): 1,
    }


def test_a_keyed_file_is_counted_with_its_entry_and_not_with_each_request(counting: World, tmp_path: Path) -> None:
    """As the log has it: one key's requests for one file are one download."""
    caller = counting.caller("cleared")
    key = keyed_downloads.key_for(counting.use, caller, "mini-gpt/base").key
    wanted = KeyedFile("mini-gpt/base", "main", "config.json")
    for _ in range(2):
        keyed_downloads.fetch(counting.use, caller, key, keyed_downloads.look(counting.use, caller, key, wanted))
    assert written(counting, tmp_path)[ISSUED.name, "token"] == 1


def test_sealing_tells_how_long_each_entry_waited(counting: World, tmp_path: Path) -> None:
    """One observation an entry, once the round is committed."""
    counting.seal()
    counting.api("POST", "/downloads", "cleared", json={"stage": "gpt-2/774M"})
    before = len(counting.entries())
    counting.seal()
    written(counting, tmp_path)
    (seen,) = meter_files.read(tmp_path / "metrics")
    counts = seen.counted.buckets[SEALING.name, ()]
    assert 1 <= sum(counts[:-1]) <= before
    assert counts[-1] >= 0


def test_a_disk_that_takes_nothing_fails_no_request(counting: World, tmp_path: Path) -> None:
    """What was counted is kept in memory, and written when the disk takes it again."""
    (tmp_path / "metrics").rename(tmp_path / "away")
    assert counting.api("POST", "/downloads", "cleared", json={"stage": "gpt-2/774M"}).status_code == 201
    assert written(counting, tmp_path) == {}
    (tmp_path / "away").rename(tmp_path / "metrics")
    assert written(counting, tmp_path)[ISSUED.name, "api"] == 1


def test_a_successor_goes_on_counting(tmp_path: Path) -> None:
    """A process that takes a place begins with what was counted there: no sum ever falls."""
    for count in (1, 2, 3):
        process = ProcessMeters(tmp_path, "worker")
        process.add(JOB_FAILURES, "mail")
        process.observe(SEALING, 0.2)
        process.close()
        assert sums(tmp_path) == {(JOB_FAILURES.name, "mail"): count}
    (seen,) = meter_files.read(tmp_path)
    assert seen.counted.buckets[SEALING.name, ()] == pytest.approx([0, 3, *[0] * (len(SEALING.bounds) - 1), 0.6])


def test_connections_in_use_are_told_of_where_there_is_a_pool(world: World) -> None:
    """On PostgreSQL, as they are at the moment; SQLite has no pool."""
    world.use.settings = world.settings.model_copy(update={"metrics_listen": "127.0.0.1:9464"})
    world.use.count_as("web")
    assert isinstance(world.use.meters, ProcessMeters)
    with world.use.database.reading() as session:
        session.execute(text("SELECT 1"))
        world.use.meters.write()
        (seen,) = meter_files.read(world.folder / meter_files.FOLDER)
    in_use = {(POOL_USED.name, ("web",)): 1, (POOL_SIZE.name, ("web",)): 16}
    assert seen.counted.states == (in_use if world.use.database.dialect == "postgresql" else {})


def test_an_observation_on_a_bound_is_within_it(tmp_path: Path) -> None:
    """Prometheus' `le`: less than or equal."""
    metric = Metric("test", "histogram", "A test.", (), (1.0, 2.0))
    process = ProcessMeters(tmp_path, "web")
    for seconds in (0.5, 1.0, 1.5, 2.0, 9.0):
        process.observe(metric, seconds)
    process.close()
    (seen,) = meter_files.read(tmp_path)
    assert seen.counted.buckets["test", ()] == [2, 2, 1, 14.0]


def test_nothing_is_counted_where_nobody_asks_for_metrics(sqlite_world: World) -> None:
    """Without `metrics_listen` there is no folder and no thread."""
    sqlite_world.use.count_as("web")
    assert type(sqlite_world.use.meters) is meters.Meters
    assert not (sqlite_world.folder / meter_files.FOLDER).exists()


def test_a_folder_that_cannot_be_made_stops_no_process(sqlite_world: World) -> None:
    """It is told of, and nothing is counted."""
    (sqlite_world.folder / meter_files.FOLDER).write_text("in the way")
    sqlite_world.use.settings = sqlite_world.settings.model_copy(update={"metrics_listen": "127.0.0.1:9464"})
    sqlite_world.use.count_as("web")
    assert type(sqlite_world.use.meters) is meters.Meters


def test_every_metric_has_a_name_as_prometheus_wants_it() -> None:
    """In this program's name, in base units, and explained in a sentence."""
    for metric in METRICS:
        assert metric.name.startswith("weightgate_")
        assert not metric.name.endswith(("_total", "_count", "_ms"))
        assert metric.help.endswith(".")
        assert (metric.kind == "histogram") == bool(metric.bounds)
