"""Checkpoints: immutable, signed sets of files published to a stage. What is not yet published is visible to nobody."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, joinedload, mapped_column, relationship

from server.domain.callers import Caller
from server.domain.errors import NoSuchCheckpoint, NotFound
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.release.stages import Stage
from server.log import canonical
from server.storage.database import Base, Database, Key, Moment
from server.storage.signing import StoredObject

MANIFEST_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
OBJECT_PREFIX = "checkpoints/"  # of what is downloaded; what else is in the bucket is ours alone
MAIN = "main"  # the newest published checkpoint of a stage
CHECKPOINT_ID = re.compile(r"[0-9a-f]{40}")
FILE_LISTS_KEPT = 64
FILES_AT_MOST = 1000  # in one checkpoint, so that one request and one log entry can always hold them all


class ManifestForm(StrEnum):
    """The two serializations of the manifest, both signed by the same key."""

    FILES = "files"  # one digest a file; its SHA-256 gives the checkpoint its id
    CHUNKS = "chunks"  # one digest every 64 MiB, so that a range can be verified as it arrives


class Checkpoint(Base):
    """A set of files under a manifest. A draft (`published_at` is null) is an upload that has not been finished."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("stage_id", "content_sha256"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    checkpoint_id: Mapped[str] = mapped_column(String(40), unique=True)
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))
    content_sha256: Mapped[str] = mapped_column(String(64))  # of paths and digests: knows the same set of files again
    note: Mapped[str | None] = mapped_column(String(2000))
    warnings: Mapped[str | None] = mapped_column(Text)  # of its files, a line each
    started_at: Mapped[datetime] = mapped_column(Moment)
    published_at: Mapped[datetime | None] = mapped_column(Moment)
    published_by: Mapped[str] = mapped_column(String(254))
    stage: Mapped[Stage] = relationship()


IS_PUBLISHED = Checkpoint.published_at.is_not(None)
Index("ix_checkpoints_published", Checkpoint.stage_id, Checkpoint.id, sqlite_where=IS_PUBLISHED,
      postgresql_where=IS_PUBLISHED)  # fmt: skip


class CheckpointFile(Base):
    """One object of a checkpoint. It belongs to that checkpoint alone, whatever its hash."""

    __tablename__ = "checkpoint_files"
    __table_args__ = (UniqueConstraint("checkpoint_id", "path"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    path: Mapped[str] = mapped_column(String(512))
    size_bytes: Mapped[int] = mapped_column(Key)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(1024))
    version_id: Mapped[str | None] = mapped_column(String(1024))  # where the bucket is versioned


class CheckpointManifest(Base):
    """A signed manifest, byte for byte."""

    __tablename__ = "checkpoint_manifests"
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    form: Mapped[ManifestForm] = mapped_column(String(8), primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


@dataclass(frozen=True, slots=True)
class File:
    """One file as answers, log and signer need it."""

    path: str
    size_bytes: int
    sha256: str
    stored: StoredObject
    record: canonical.Encoded  # its part of a log entry


@dataclass(frozen=True, slots=True)
class FileList:
    """A published checkpoint's files, by path, in the order of their paths."""

    checkpoint_pk: int
    checkpoint_id: str
    created_at: datetime
    note: str | None
    files: dict[str, File]
    warnings: str | None = None


def object_key(stage: str, checkpoint_id: str, path: str) -> str:
    return f"{OBJECT_PREFIX}{stage}/{checkpoint_id}/{path}"


def find(session: Session, stage_pk: int, main_pk: int | None, name: str) -> int:
    """Return the key of a stage's published checkpoint by its id or `main`. Raises NoSuchCheckpoint."""
    if name == MAIN:
        found = main_pk
    elif CHECKPOINT_ID.fullmatch(name):
        found = session.scalar(
            select(Checkpoint.id).where(Checkpoint.checkpoint_id == name, Checkpoint.stage_id == stage_pk, IS_PUBLISHED)
        )
    else:
        found = None
    if found is None:
        raise NoSuchCheckpoint
    return found


def file_list(session: Session, database: Database, checkpoint_pk: int) -> FileList:
    """Return a published checkpoint's files. Kept, because they never change; whether one may have them is not."""
    found = _kept.get((database, checkpoint_pk))
    if found is None:
        found = _read_files(session, checkpoint_pk)
        while len(_kept) >= FILE_LISTS_KEPT:
            _kept.pop(next(iter(_kept)), None)  # the oldest; another thread may have been quicker
        _kept[database, checkpoint_pk] = found
    return found


_kept: dict[tuple[Database, int], FileList] = {}


def _read_files(session: Session, checkpoint_pk: int) -> FileList:
    checkpoint = session.get_one(Checkpoint, checkpoint_pk)
    if checkpoint.published_at is None:
        raise NoSuchCheckpoint
    rows = session.scalars(
        select(CheckpointFile).where(CheckpointFile.checkpoint_id == checkpoint_pk).order_by(CheckpointFile.path)
    )
    files = {row.path: _file(row) for row in rows}
    return FileList(
        checkpoint.id, checkpoint.checkpoint_id, checkpoint.published_at, checkpoint.note, files, checkpoint.warnings
    )


def totals(session: Session, checkpoint_pk: int) -> tuple[int, int]:
    """How many files a checkpoint has, and their bytes."""
    query = select(func.count(), func.sum(CheckpointFile.size_bytes)).where(
        CheckpointFile.checkpoint_id == checkpoint_pk
    )
    files, size_bytes = session.execute(query).one()
    return files, int(size_bytes or 0)


def published(session: Session, stage_pk: int, part: Slice) -> Page[Checkpoint]:
    """A stage's checkpoints, newest first."""
    query = select(Checkpoint).where(Checkpoint.stage_id == stage_pk, IS_PUBLISHED)
    return page(session, query, Checkpoint.id, part, newest_first=True)


def names(session: Session, stage_pk: int) -> list[tuple[int, str]]:
    """The keys and ids of all of a stage's checkpoints, newest first."""
    query = select(Checkpoint.id, Checkpoint.checkpoint_id).where(Checkpoint.stage_id == stage_pk, IS_PUBLISHED)
    return [(row.id, row.checkpoint_id) for row in session.execute(query.order_by(Checkpoint.id.desc()))]


def holding(session: Session, database: Database, stage_pk: int, sha256: str) -> tuple[str, File] | None:
    """The newest checkpoint of a stage with a file of this content, and the file; None where there is none."""
    query = (
        select(Checkpoint.id, Checkpoint.checkpoint_id, CheckpointFile.path)
        .join(CheckpointFile, CheckpointFile.checkpoint_id == Checkpoint.id)
        .where(Checkpoint.stage_id == stage_pk, IS_PUBLISHED, CheckpointFile.sha256 == sha256)
        .order_by(Checkpoint.id.desc(), CheckpointFile.path)
        .limit(1)
    )
    found = session.execute(query).first()
    if found is None:
        return None
    return found.checkpoint_id, file_list(session, database, found.id).files[found.path]


def get(session: Session, caller: Caller, checkpoint_id: str) -> Checkpoint:
    """A published checkpoint of any stage, by its id; for staff alone. Raises NotFound."""
    caller.require(Permission.CHECKPOINT_READ)
    query = select(Checkpoint).where(Checkpoint.checkpoint_id == checkpoint_id, IS_PUBLISHED)
    query = query.options(joinedload(Checkpoint.stage).joinedload(Stage.model))
    checkpoint = session.scalar(query) if caller.is_staff and CHECKPOINT_ID.fullmatch(checkpoint_id) else None
    if checkpoint is None:
        raise NotFound("There is no such checkpoint.")
    return checkpoint


def manifest(session: Session, checkpoint_pk: int, form: ManifestForm) -> bytes:
    return session.get_one(CheckpointManifest, (checkpoint_pk, form)).content


def _file(row: CheckpointFile) -> File:
    record = {"path": row.path, "size_bytes": row.size_bytes, "sha256": row.sha256, "object_key": row.object_key}
    if row.version_id is not None:
        record["version_id"] = row.version_id
    stored = StoredObject(row.object_key, version_id=row.version_id)
    return File(row.path, row.size_bytes, row.sha256, stored, canonical.encoded(record))
