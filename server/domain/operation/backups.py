"""Backups: the objects of a store that has no backup of its own, beside a copy of the database.

Objects never change, so a later backup into the same folder copies only new ones. What belongs to it stands in an
index; the index may know more than the copy of the database beside it, never less.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import select

from server.domain.audit import logs
from server.domain.publish.checkpoints import Checkpoint, CheckpointFile
from server.domain.release.finding_attachments import FindingAttachment
from server.domain.resources import Resources
from server.log.entries import NoLog
from server.storage.snapshot import SnapshotError

INDEX = "objects.json"
OBJECTS = "objects"


@dataclass(frozen=True, slots=True)
class Item:
    """One object, by the hash it was published with."""

    object_key: str
    size_bytes: int
    sha256: str


def log_keys(use: Resources) -> tuple[str, ...]:
    """Which log is appended to, by its keys: a copy of database and files is of one moment where these stay."""
    with use.database.reading() as session:
        try:
            log = logs.current(session)
        except NoLog:
            return ()
        return log.origin, log.vkey, log.receipt_vkey


def copy_objects(use: Resources, target: Path) -> int:
    """Copy every published object and every attachment that the folder has not; returns how many.

    Call it after the database was copied.
    """
    items, copied = _published(use), 0
    for item in items:
        path = target / OBJECTS / item.object_key
        if path.exists() and path.stat().st_size == item.size_bytes:
            continue
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(path.name + ".new")
        try:
            use.store.download(item.object_key, beside)
        except KeyError:
            raise SnapshotError(
                f"{item.object_key} is missing from the store: find out why before you back up"
            ) from None
        _require_same(beside, item)
        beside.rename(path)
        copied += 1
    beside = target / f"{INDEX}.new"
    beside.write_text(json.dumps({"objects": [asdict(item) for item in items]}), encoding="utf-8")
    beside.rename(target / INDEX)
    return copied


def require_whole(source: Path) -> None:
    """Raise SnapshotError unless every object of the backup is there and is what was published."""
    for item in _index(source):
        _require_same(source / OBJECTS / item.object_key, item)


def put_objects_back(use: Resources, source: Path) -> int:
    """Store every object of the backup; returns how many. The store verifies each on receipt."""
    items = _index(source)
    for item in items:
        path = source / OBJECTS / item.object_key
        use.store.upload(item.object_key, path, item.sha256, item.size_bytes, lambda _: None)
    return len(items)


def _published(use: Resources) -> list[Item]:
    query = select(CheckpointFile.object_key, CheckpointFile.size_bytes, CheckpointFile.sha256)
    query = query.join(Checkpoint, Checkpoint.id == CheckpointFile.checkpoint_id)
    query = query.where(Checkpoint.published_at.is_not(None)).order_by(CheckpointFile.id)
    attached = select(FindingAttachment.object_key, FindingAttachment.size_bytes, FindingAttachment.sha256)
    attached = attached.where(FindingAttachment.completed_at.is_not(None)).order_by(FindingAttachment.id)
    with use.database.reading() as session:
        return [Item(*row) for wanted in (query, attached) for row in session.execute(wanted)]


def _index(source: Path) -> list[Item]:
    try:
        (items,) = json.loads((source / INDEX).read_bytes()).values()
        return [Item(**item) for item in items]
    except (OSError, ValueError, TypeError, AttributeError):
        raise SnapshotError(f"{source / INDEX} is missing or damaged: use another backup") from None


def _require_same(path: Path, item: Item) -> None:
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        found = ""
    if found != item.sha256:
        raise SnapshotError(f"{item.object_key} is missing or differs from what was published: nothing was replaced")
