"""Each web process keeps to a core of its own, when there are no more cores than processes."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from server.web.cores import core_for
from tests.e2e.serving import eventually, served
from tests.world import World


@pytest.mark.parametrize(
    ("processes", "cores", "taken", "core"),
    [
        (2, {0, 1}, [], 0),
        (2, {0, 1}, [0], 1),
        (2, {0, 1}, [1], 0),  # the other one has ended, and is begun again
        (4, {0, 1}, [0, 1, 1], 0),
        (4, {0, 1}, [0, 1], 0),
        (3, {5, 7}, [7, 5], 5),
        (3, {5, 7}, [None, 5], 7),
        (2, {3}, [3], 3),
        (1, {3}, [], 3),
        (2, {0, 1, 2}, [], None),
        (1, {0, 1}, [], None),
        (2, (), [], None),  # not to be had on this system
    ],
)
def test_the_core_that_the_fewest_keep_to(processes: int, cores: set[int], taken: list[int], core: int | None) -> None:
    assert core_for(processes, cores, taken) == core


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What this process starts may use these alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores_of(workers: list[int]) -> list[list[int]]:
    return [psutil.Process(worker).cpu_affinity() or [] for worker in workers]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_each_of_gunicorn_s_workers_keeps_to_its_core(sqlite_world: World) -> None:
    """Also its threads, and one that takes the place of another; gunicorn itself keeps to none."""
    usable = set(sorted(os.sched_getaffinity(0))[:2])
    with on_cores(usable), served(sqlite_world, web_workers=len(usable)) as web:
        workers = web.workers()
        assert sorted(cores_of(workers)) == [[core] for core in sorted(usable)]
        assert set(psutil.Process(web.process.pid).cpu_affinity() or ()) == usable
        for worker in workers:
            threads = psutil.Process(worker).threads()
            assert {tuple(os.sched_getaffinity(thread.id)) for thread in threads} == {tuple(cores_of([worker])[0])}
        os.kill(workers[0], signal.SIGKILL)
        assert eventually(lambda: len(web.workers()) == len(usable) and workers[0] not in web.workers(), 20)
        assert eventually(lambda: sorted(cores_of(web.workers())) == [[core] for core in sorted(usable)], 5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("more", [{"web_keeps_cores": False, "web_workers": 2}, {"web_workers": 1}])
def test_workers_keep_to_none_where_told_or_where_cores_are_many(sqlite_world: World, more: dict[str, object]) -> None:
    usable = set(sorted(os.sched_getaffinity(0))[:2])
    with on_cores(usable), served(sqlite_world, **more) as web:
        assert {tuple(cores) for cores in cores_of(web.workers())} == {tuple(sorted(usable))}
