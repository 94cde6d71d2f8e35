"""F3 on the cluster: the disk under PostgreSQL runs full while clients issue through nginx over two machines."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster import checks
from tests.cluster.cluster import DATABASE, Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import LogReader, crowd
from tests.cluster.test_faults import issue, until_issued
from tests.cluster.test_tampering import unsealed, until
from tests.postgres import NOBODY
from tests.small_disk import Disk

CLIENTS, PER_SECOND = 6, 4
ASKED_WHILE_FULL = 10
LOOK_EVERY_SECONDS = 0.5  # nginx lets whoever has no token ask 5 times a second
PROVEN_AT_MOST = 500

pytestmark = pytest.mark.fault


@pytest.fixture
def small(own_cluster: Cluster, disk: Disk) -> Iterator[Cluster]:
    """The tables of both machines, and nothing else, lie on a disk that can be filled."""
    place = disk.folder / "tablespace"
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    move(own_cluster, f"CREATE TABLESPACE small LOCATION '{place}'", f"ALTER DATABASE {DATABASE} SET TABLESPACE small")
    yield own_cluster
    disk.make_room()
    move(own_cluster, f"ALTER DATABASE {DATABASE} SET TABLESPACE pg_default", "CHECKPOINT", "DROP TABLESPACE small")


def move(cluster: Cluster, *statements: str) -> None:
    """While nobody is connected."""
    for machine in cluster.machines:
        for service in list(machine.processes):
            machine.stop(service)
    for statement in statements:
        cluster.postgres.run(statement)
    for machine in cluster.machines:
        for service in ("web", "worker"):
            machine.start(service)
    cluster.wait_until_ready()


def test_a_full_disk_stops_both_machines_and_loses_nothing(small: Cluster, disk: Disk) -> None:
    """201 means stored, then only 503 without a URL, and no head is signed; with room all goes on by itself."""
    ledger = Ledger()
    reader = LogReader(small, ledger)
    until_issued(small)
    with crowd(small, ledger, CLIENTS, PER_SECOND):
        disk.fill()
        until(lambda: is_full(small, reader), LOOK_EVERY_SECONDS)
        before, waiting = head(reader), unsealed(small)
        assert any('"seal"' in machine.said("worker") for machine in small.machines)  # it could not
        disk.make_room()
        took = until_issued(small)
        until(lambda: head(reader)[0] > before[0], LOOK_EVERY_SECONDS)
    statuses = {status: count for (_, status), count in sorted(ledger.statuses.items())}
    print(f"{statuses}, {waiting} unsealed while it was full, issuing again {took:.1f} s after there was room")
    assert checks.settle(small, ledger, PROVEN_AT_MOST) > 0
    assert ledger.faults == []
    assert small.stopped() == []


def is_full(cluster: Cluster, reader: LogReader) -> bool:
    """Whether nothing fits in any more, also not into what was free inside of files: nothing issued, nothing signed."""
    before = head(reader)
    for _ in range(ASKED_WHILE_FULL):
        answer = issue(cluster)
        if answer.status_code == 201:
            return False
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert "X-Amz-" not in answer.text
    return head(reader) == before and unsealed(cluster) > 0


def head(reader: LogReader) -> tuple[int, bytes]:
    """What is published now."""
    reader.follow()
    return reader.size, reader.roots[reader.size]
