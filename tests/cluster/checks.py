"""What must be true of a cluster after a load or a fault; what is not becomes a fault of the ledger."""

import random
import time

import orjson
from sqlalchemy import func, select

from server.domain.resources import Resources
from server.log.entries import LogEntry
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import LogReader

SEALED_WITHIN_SECONDS = 120
PROOF_EVERY_SECONDS = 1 / 40  # nginx lets one address ask 50 times a second
AT_ONCE = 5_000  # ids in one query


def require_entries(use: Resources, ledger: Ledger, known: set[str]) -> None:
    """Each download that a client holds URLs of is in the log; those that are found there become known."""
    held, _ = ledger.held()
    unknown = list(held - known)
    for start in range(0, len(unknown), AT_ONCE):
        part = unknown[start : start + AT_ONCE]
        with use.database.reading() as session:
            known |= set(session.scalars(
                select(LogEntry.subject).where(LogEntry.kind == "download", LogEntry.subject.in_(part))
            ))  # fmt: skip
    if missing := held - known - ledger.unlogged:
        ledger.unlogged |= missing
        some = ", ".join(f"{one} ({ledger.downloads[one]})" for one in sorted(missing)[:3])
        ledger.fault(f"{len(missing)} downloads are not in the log, though clients hold URLs of them: {some}")


def settle(cluster: Cluster, ledger: Ledger, proofs_at_most: int) -> int:
    """All entries sealed, URLs and S3 files with their entries, receipts proven, log verified; how many were proven."""
    ledger.require_cuts_explained()
    with cluster.resources() as use:
        _until_sealed(use, ledger)
        require_entries(use, ledger, set())
        _require_keyed(use, ledger)
    _, receipts = ledger.held()
    sample = random.Random(1).sample(receipts, min(proofs_at_most, len(receipts)))  # noqa: S311  # no secret
    reader = LogReader(cluster, ledger)
    proven = 0
    for one in sample:
        proven += reader.prove(one)
        time.sleep(PROOF_EVERY_SECONDS)
    if proven < len(sample) or not sample:
        ledger.fault(f"of {len(sample)} receipts only {proven} were proven")
    done = cluster.machines[0].run("log", "verify", "--tables")
    if done.returncode != 0:
        ledger.fault(f"log verify --tables: exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return proven


def entries(cluster: Cluster) -> int:
    """How many the log has."""
    with cluster.resources() as use, use.database.reading() as session:
        return session.scalar(select(func.count()).select_from(LogEntry)) or 0


def _require_keyed(use: Resources, ledger: Ledger) -> None:
    with use.database.reading() as session:
        records = session.scalars(select(LogEntry.record).where(LogEntry.kind == "download"))
        read = {
            (one["access_key_id"], one["files"][0]["path"])
            for one in map(orjson.loads, records) if one.get("door") == "s3"
        }  # fmt: skip
    for access_key, path in sorted(ledger.keyed - read):
        ledger.fault(f"S3 GET: {path} was read with key {access_key}, which is not in the log")


def _until_sealed(use: Resources, ledger: Ledger) -> None:
    deadline = time.monotonic() + SEALED_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with use.database.reading() as session:
            if session.scalar(select(func.count()).where(LogEntry.leaf_index.is_(None))) == 0:
                return
        time.sleep(0.2)
    ledger.fault(f"entries were not sealed within {SEALED_WITHIN_SECONDS} s")
