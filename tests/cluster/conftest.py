"""One cluster for all tests of a process: what a test does to it, it makes good again."""

import shutil
from collections.abc import Iterator

import pytest

from tests import parts
from tests.cluster.cluster import Cluster, let_postgresql_in
from tests.parts import missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if parts.REDIS is None:
        missing("redis-server")
    folder = tmp_path_factory.mktemp("cluster")
    let_postgresql_in(folder)
    with Cluster(folder, parts.REDIS) as made:
        yield made
    shutil.rmtree(folder)
