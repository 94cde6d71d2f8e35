"""The bucket that a world keeps its months in."""

from collections.abc import Iterator

import pytest

from server.storage.log_bucket import LogBucket
from tests.archived_months import months_of
from tests.world import World


@pytest.fixture
def bucket(world: World) -> Iterator[LogBucket]:
    with months_of(world) as found:
        yield found


@pytest.fixture
def sqlite_bucket(sqlite_world: World) -> Iterator[LogBucket]:
    with months_of(sqlite_world) as found:
        yield found
