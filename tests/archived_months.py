"""Months that grow old and are archived, for tests: in a bucket of their own, by the clock of their world."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from server.domain.audit import archiving, verifying
from server.domain.audit.archives import Source
from server.domain.audit.archiving import Archived
from server.domain.audit.month import Month
from server.domain.audit.months import Keeper
from server.domain.delivery import statistics
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.log.archived import ARCHIVED_AFTER, Places
from server.log.entries import Log, LogEntry
from server.storage.log_bucket import LogBucket
from tests import tampering
from tests.own_keys import give_own_keys
from tests.own_store import own_bucket
from tests.world import World

BECAUSE = "Kept for three months, as we said."


@contextmanager
def months_of(world: World) -> Iterator[LogBucket]:
    """The world's place for months, in a bucket of its own."""
    with own_bucket(world) as name:
        give_own_keys(world, log_months=f"{name}/log", log_months_key_file=str(world.settings.publisher_key_file))
        assert world.use.log_months is not None
        yield world.use.log_months


def issue(world: World, **more: Any) -> Download:
    return issuing.issue(world.use, world.caller("cleared"), world.order(**more))


def grow_old(world: World) -> Month:
    """Go on until the month of the newest entry can be archived, with its file in the bucket."""
    world.seal()
    month = Month.of(world.entries()[-1].appended_at)
    world.clock.advance(month.until + ARCHIVED_AFTER + timedelta(hours=2) - world.clock())
    statistics.count(world.use)
    Keeper(world.use).keep()
    return month


def archive(world: World, month: Month) -> Archived:
    return archiving.archive(world.use, world.admin, month, BECAUSE)


def archived_download(world: World) -> tuple[Download, Archived]:
    """One download, and its month archived."""
    download = issue(world)
    return download, archive(world, grow_old(world))


def entry_of(world: World, download: Download) -> LogEntry:
    return next(entry for entry in world.entries("download") if entry.subject == download.id)


def copied(bucket: LogBucket, to: Path) -> Path:
    """A copy of the bucket's folder, as an auditor makes one."""
    for key in bucket.list_keys(bucket.folder):
        path = to / key.removeprefix(bucket.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.download(key, path)
    return to


def forged(world: World, month: str = "") -> dict[str, Any]:
    """A record of the right form that tells of an archive which never was; of this month's, or another's."""
    entry, month = world.entries("download")[0], month or f"{world.clock():%Y-%m}"
    with world.use.database.reading() as session:
        origin = session.get_one(Log, entry.log_id).origin
    places = Places()
    places.take(entry.leaf_index or 0)
    return {
        "actor": {"via": "cli", "person": world.admin.person, "organization": world.admin.organization},
        "month": month, "file": f"year={month[:4]}/month={month[5:]}/{'0' * 32}.parquet", "sha256": "0" * 64,
        "size_bytes": 1, "entries": 1, "kinds": ["download"], "because": "A test.",
        "records": [{"log": origin} | asdict(places.records) | {"sha256": "0" * 64}],
    }  # fmt: skip


def verified(world: World, source: Source | None = None) -> tuple[dict[str, str], list[str]]:
    """What is named, with the first sentence about it, and the notes."""
    found = verifying.verify(world.use, months=source)
    faults = {fault.row: fault.sentence for one in found for fault in reversed(one.faults)}
    return faults, [note for one in found for note in one.notes]


def run(world: World, statement: str) -> None:
    """As somebody does who owns the database, past every guard."""
    world.tampered = True
    tampering.run(world.settings.database_url, statement)
