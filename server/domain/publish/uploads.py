"""Uploads: a checkpoint that a publisher sends without a key of the store, until it is published, refused or forgotten.

Announced file by file; sent in parts, each by a URL for these very bytes; then completed, and from there on the matter
of the process that publishes. A publisher has one upload a stage: announced anew, it keeps what had been sent of the
files that are still the same. Until it is published nobody sees anything of it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import orjson
from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, delete, func, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from server.domain.callers import Caller
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.identity.people import Person
from server.domain.permissions import Permission, Role, Scope
from server.domain.publish import formats, main_checkpoint, manifests, opening, publishing
from server.domain.publish.checkpoints import Checkpoint
from server.domain.publish.faults import NotPublishable
from server.domain.release.stages import Stage
from server.domain.resources import Resources
from server.storage.database import Base, Key, Moment
from server.storage.uploads import PREFIX, UploadObjects

AT_MOST = 8  # of one publisher at a time, each to another stage
FORGOTTEN_AFTER = timedelta(days=1)  # without a sign of life
UNCHECKED_AFTER = timedelta(days=7)  # completed, and nobody published it
UNKNOWN_ATTEMPT_AFTER = timedelta(hours=1)  # an attempt is begun a moment before it is written down


class UploadState(StrEnum):
    """What becomes of an upload. Values fit the column and are never renamed."""

    OPEN = "open"  # its parts are being sent
    CHECKING = "checking"  # completed: it waits for the process that publishes, or is in its hands
    PUBLISHED = "published"
    PROPOSED = "proposed"
    REFUSED = "refused"


UNDER_WAY = (UploadState.OPEN, UploadState.CHECKING)


class Upload(Base):
    """One publisher's upload to one stage."""

    __tablename__ = "uploads"
    __table_args__ = (UniqueConstraint("person_id", "stage_id"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    stage_id: Mapped[int] = mapped_column(ForeignKey("stages.id"))
    state: Mapped[UploadState] = mapped_column(String(16))
    note: Mapped[str | None] = mapped_column(String(2000))
    begun_at: Mapped[datetime] = mapped_column(Moment)
    touched_at: Mapped[datetime] = mapped_column(Moment, index=True)  # the last sign of life
    completed_by: Mapped[str | None] = mapped_column(Text)  # JSON: the caller, whose standing is judged again
    worked_until: Mapped[datetime | None] = mapped_column(Moment)  # nobody else takes it in hand before
    checked_bytes: Mapped[int] = mapped_column(Key, default=0)
    checkpoint_id: Mapped[str | None] = mapped_column(String(40))
    proposal: Mapped[int | None] = mapped_column(Key)
    next_step: Mapped[str | None] = mapped_column(Text)
    refusal_code: Mapped[str | None] = mapped_column(String(40))
    refusal: Mapped[str | None] = mapped_column(Text)
    stage: Mapped[Stage] = relationship()


IS_CHECKING = Upload.state == UploadState.CHECKING
Index("ix_uploads_checking", Upload.touched_at, sqlite_where=IS_CHECKING, postgresql_where=IS_CHECKING)


class UploadFile(Base):
    """One file of an upload, while it is under way."""

    __tablename__ = "upload_files"
    __table_args__ = (UniqueConstraint("upload_id", "path"),)
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    upload_id: Mapped[int] = mapped_column(ForeignKey("uploads.id"))
    path: Mapped[str] = mapped_column(String(512))
    size_bytes: Mapped[int] = mapped_column(Key)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(100), unique=True)  # ours: no name of theirs is in it
    attempt: Mapped[str | None] = mapped_column(String(1024))  # the store's name for the parts that belong together
    part_digests: Mapped[bytes | None] = mapped_column(LargeBinary)  # 32 bytes each; zeros: not announced yet


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is announced. sha256: lower-case hex."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Begun:
    """warnings: what a publisher should know before anything is sent."""

    upload: Upload
    files: Sequence[UploadFile]
    warnings: Sequence[str]


def begin(use: Resources, caller: Caller, full_name: str, files: Sequence[NewFile], note: str | None = None) -> Begun:
    """Announce files for a stage, or go on with what was announced. Raises InvalidRequest, NotFound, NotPossible."""
    caller.require(Permission.CHECKPOINT_PUBLISH)
    require_store(use)
    try:
        formats.require_known([(file.path, file.size_bytes) for file in files])
    except NotPublishable as faults:
        raise InvalidRequest(str(faults), next_step="Correct the folder, and publish it again.") from None
    with use.database.transaction() as session:
        # Whoever announces twice at once is counted once.
        session.get_one(Person, caller.person_id, with_for_update={"key_share": True})
        stage = opening.open_stage(session, full_name)
        warnings = main_checkpoint.warnings_of_publishing(session, stage, full_name)
        upload = _of_stage(session, caller, stage)
        if upload is not None and _is_done_or_checked(session, upload, files):
            return Begun(upload, files_of(session, upload.id), warnings)
        publishing.require_publishable(session, stage, {file.path: file.sha256 for file in files})
        _require_room(session, use, caller, upload, files)
        at = use.clock()
        if upload is None:
            upload = Upload(person_id=caller.person_id, stage_id=stage.id, stage=stage)
            session.add(upload)
        elif upload.state == UploadState.CHECKING:
            raise NotPossible(f"Your upload to {stage.full_name} is being checked.", next_step="Wait until it is done.")
        upload.state, upload.note, upload.begun_at, upload.touched_at = UploadState.OPEN, note, at, at
        upload.checked_bytes, upload.completed_by, upload.worked_until = 0, None, None
        upload.checkpoint_id = upload.proposal = upload.next_step = upload.refusal_code = upload.refusal = None
        session.flush()
        return Begun(upload, _announce(session, upload, files), warnings)


def complete(use: Resources, caller: Caller, upload_id: int) -> Upload:
    """Hand an upload over to the process that publishes. What has been handed over is returned as it is by now."""
    caller.require(Permission.CHECKPOINT_PUBLISH)
    with use.database.transaction() as session:
        upload = own(session, caller, upload_id, lock=True)
        if upload.state == UploadState.OPEN:
            upload.state, upload.touched_at, upload.worked_until = UploadState.CHECKING, use.clock(), None
            upload.checked_bytes, upload.completed_by = 0, _as_text(caller)
            upload.refusal_code = upload.refusal = upload.next_step = None
        return upload


def own(session: Session, caller: Caller, upload_id: int, *, lock: bool = False) -> Upload:
    """An upload of the caller's. Raises NotFound."""
    caller.require(Permission.CHECKPOINT_PUBLISH)
    upload = session.get(Upload, upload_id, with_for_update=lock)
    if upload is None or upload.person_id != caller.person_id:
        raise NotFound(
            f"You have no upload {upload_id}.",
            next_step="Begin it again: what nobody continues is removed after a day.",
        )
    return upload


def files_of(session: Session, upload_id: int) -> Sequence[UploadFile]:
    """Its files by path; none once it is done."""
    return session.scalars(select(UploadFile).where(UploadFile.upload_id == upload_id).order_by(UploadFile.path)).all()


def size_bytes(session: Session, upload_id: int) -> int:
    """Of its files, while it is under way."""
    return int(session.scalar(select(func.sum(UploadFile.size_bytes)).where(UploadFile.upload_id == upload_id)) or 0)


def caller_of(upload: Upload) -> Caller:
    """Who completed it. Whether they may still publish is for whoever publishes it to ask."""
    fields = orjson.loads(upload.completed_by or "{}")
    scopes = frozenset(Scope(scope) for scope in fields.pop("scopes"))
    return Caller(**fields | {"scopes": scopes, "role": Role(fields["role"])})


def clean(use: Resources) -> None:
    """Remove what nobody continues, from the database and then from the store."""
    if use.uploads is None:
        return
    at = use.clock()
    left = (Upload.state != UploadState.CHECKING) & (Upload.touched_at < at - FORGOTTEN_AFTER)
    unchecked = IS_CHECKING & (Upload.touched_at < at - UNCHECKED_AFTER)
    idle = or_(Upload.worked_until.is_(None), Upload.worked_until < at)
    with use.database.transaction() as session:
        query = select(Upload.id).where(or_(left, unchecked), idle).with_for_update(skip_locked=True)
        stale = session.scalars(query).all()
        session.execute(delete(UploadFile).where(UploadFile.upload_id.in_(stale)))
        session.execute(delete(Upload).where(Upload.id.in_(stale)))
    _clean_store(use, use.uploads, at)


def require_store(use: Resources) -> UploadObjects:
    """The store, with the key for uploads. Raises NotPossible where the instance has none."""
    if use.uploads is None:
        raise NotPossible(
            "This server takes no uploads.", next_step="Publish with `weightgate-server publish` on its machine."
        )
    return use.uploads


def _clean_store(use: Resources, store: UploadObjects, at: datetime) -> None:
    """Whatever lies there and belongs to no upload that is under way. What is unfinished first: it can become whole."""
    attempts, keys = store.attempts(), store.list_keys(PREFIX)
    with use.database.reading() as session:
        rows = session.execute(select(UploadFile.object_key, UploadFile.attempt))
        known = {row.object_key: row.attempt for row in rows}
    for key, attempt, begun_at in attempts:
        if known.get(key) != attempt and (key not in known or begun_at < at - UNKNOWN_ATTEMPT_AFTER):
            store.abort(key, attempt)
    for key in keys:
        if key not in known:
            store.delete(key)


def _of_stage(session: Session, caller: Caller, stage: Stage) -> Upload | None:
    mine = Upload.person_id == caller.person_id, Upload.stage_id == stage.id
    return session.scalar(select(Upload).where(*mine).with_for_update())


def _is_done_or_checked(session: Session, upload: Upload, files: Sequence[NewFile]) -> bool:
    """Whether exactly these files are being checked, or were published or proposed by this upload a little while ago:
    whoever lost that answer asks again."""
    if upload.state == UploadState.CHECKING:
        return {_identity(file) for file in files_of(session, upload.id)} == {_identity(file) for file in files}
    if upload.state not in {UploadState.PUBLISHED, UploadState.PROPOSED}:
        return False
    content = manifests.content_digest({file.path: file.sha256 for file in files})
    same = Checkpoint.checkpoint_id == upload.checkpoint_id, Checkpoint.content_sha256 == content
    return session.scalar(select(Checkpoint.id).where(*same)) is not None


def _require_room(
    session: Session, use: Resources, caller: Caller, upload: Upload | None, files: Sequence[NewFile]
) -> None:
    others = select(Upload.id).where(Upload.person_id == caller.person_id, Upload.state.in_(UNDER_WAY))
    if upload is not None:
        others = others.where(Upload.id != upload.id)
    later = "Finish one, or wait: what nobody continues is removed after a day."
    if (session.scalar(select(func.count()).select_from(others.subquery())) or 0) >= AT_MOST:
        raise NotPossible(f"You have {AT_MOST} uploads under way, and no more are possible.", next_step=later)
    taken = session.scalar(select(func.sum(UploadFile.size_bytes)).where(UploadFile.upload_id.in_(others))) or 0
    wanted, limit = sum(file.size_bytes for file in files), use.settings.upload_bytes_per_person
    if wanted > limit:
        raise NotPossible(
            f"These files have {wanted} bytes; an upload can have {limit}.",
            next_step="Publish with `weightgate-server publish` on the server's machine, or ask for a higher limit.",
        )
    if int(taken) + wanted > limit:
        raise NotPossible(f"Your uploads under way would have more than {limit} bytes.", next_step=later)


def _announce(session: Session, upload: Upload, files: Sequence[NewFile]) -> Sequence[UploadFile]:
    """Keep the rows of files that are still the same, with what was sent of them. The worker removes the rest."""
    known = {_identity(file): file for file in files_of(session, upload.id)}
    wanted = {_identity(file): file for file in files}
    for identity, row in known.items():
        if identity not in wanted:
            session.delete(row)
    session.flush()
    session.add_all(
        UploadFile(
            upload_id=upload.id, path=file.path, size_bytes=file.size_bytes, sha256=file.sha256,
            object_key=f"{PREFIX}{upload.id}/{secrets.token_hex(16)}",
        )
        for identity, file in wanted.items()
        if identity not in known
    )  # fmt: skip
    session.flush()
    return files_of(session, upload.id)


def _identity(file: NewFile | UploadFile) -> tuple[str, int, str]:
    return file.path, file.size_bytes, file.sha256


def _as_text(caller: Caller) -> str:
    kept = (
        "via", "organization_id", "organization", "person_id", "person", "role", "token_id", "token_public_id",
        "address", "user_agent", "request_id",
    )  # fmt: skip
    fields = {name: getattr(caller, name) for name in kept}
    return orjson.dumps(fields | {"scopes": sorted(caller.scopes)}).decode()
