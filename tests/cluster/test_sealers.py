"""F6 on the cluster: five sealers that crash at their commits beside the workers of both machines."""

import threading
import time

import pytest

from server.log.sealing import LogHead
from tests.cluster import checks
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import LogReader, crowd
from tests.faults.test_sealers import crashing_sealers, enough

CLIENTS, PER_SECOND = 4, 5
SECONDS = 20
LOOK_EVERY_SECONDS = 0.25  # nginx lets whoever has no token ask 5 times a second

pytestmark = pytest.mark.fault


def test_sealers_that_crash_beside_two_machines_sign_one_root_per_size(cluster: Cluster) -> None:
    """Whoever seals, and whatever is left of the one before: no size is ever published with two roots."""
    ledger, ending = Ledger(), threading.Event()
    reader = LogReader(cluster, ledger)
    watching = threading.Thread(target=watch, args=(reader, ledger, ending))
    watching.start()
    try:
        with crashing_sealers(cluster.machines[0].data) as did, crowd(cluster, ledger, CLIENTS, PER_SECOND):
            time.sleep(SECONDS)
    finally:
        ending.set()
        watching.join()
    proven = checks.settle(cluster, ledger, 100)
    with cluster.resources() as use, use.database.reading() as session:
        kept = {row.size: row.root for row in session.query(LogHead)}
    seen = reader.roots
    print(f"{len(ledger.downloads)} downloads, {len(kept)} heads kept, {len(seen)} seen, {did}, {proven} proven")
    assert {size: kept.get(size) for size in seen} == seen
    assert len(seen) > SECONDS / 2
    assert enough(did), did
    assert "failed" not in did
    assert ledger.faults == []
    assert cluster.stopped() == []


def watch(reader: LogReader, ledger: Ledger, ending: threading.Event) -> None:
    """Follow the head that is published, through nginx; the ledger hears of a second root and of one that shrinks."""
    try:
        while not ending.wait(LOOK_EVERY_SECONDS):
            reader.follow()
    except Exception as error:
        ledger.fault(f"the head cannot be followed: {type(error).__name__}: {error}")
        raise
