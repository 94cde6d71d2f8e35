"""One cluster for all tests of a process: what a test does to it, it makes good again. Where nothing can be made good,
a test has one of its own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import parts
from tests.cluster.cluster import Cluster, let_postgresql_in
from tests.parts import missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    yield from made_in(tmp_path_factory.mktemp("cluster"))


@pytest.fixture
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For one test, with a log that is as short as the worked example leaves it."""
    yield from made_in(tmp_path_factory.mktemp("own-cluster"))


def made_in(folder: Path) -> Iterator[Cluster]:
    if parts.REDIS is None:
        missing("redis-server")
    let_postgresql_in(folder)
    with Cluster(folder, parts.REDIS) as made:
        yield made
    shutil.rmtree(folder)
