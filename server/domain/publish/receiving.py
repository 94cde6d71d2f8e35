"""Receiving: an upload that its publisher completed is put together, read back, checked and published as any other.

The work of a process of its own, which holds the publisher's key and the manifest's. Whatever it is told, that is
judged again here: whether its publisher may still publish, and every byte. It may die anywhere: another run goes on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from server.domain.errors import InvalidRequest, NotPossible, Refused
from server.domain.identity.proposals import Proposal
from server.domain.publish import opening, publishing, upload_parts, uploads
from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import Folder, StoredFile
from server.domain.publish.uploads import IS_CHECKING, Upload, UploadFile, UploadState
from server.domain.resources import Resources
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.objects import REQUESTS_AT_ONCE, ChecksumMismatch, ObjectInfo

IN_HAND_FOR = timedelta(minutes=1)  # how long a run that died keeps an upload from others
SIGN_OF_LIFE_EVERY = timedelta(seconds=10)
LOOK_EVERY_SECONDS = 1
_AGAIN = "Run the same command again."


class _NotArrived(Exception):
    """Not everything has arrived: the text says what."""


@dataclass(slots=True)
class _Run:
    """One upload in hand. until: as long as nobody else takes it."""

    use: Resources
    upload: Upload
    files: Sequence[UploadFile]
    until: datetime
    checked_bytes: int = 0

    def progress(self, _what: str, done_bytes: int, _all_bytes: int) -> None:
        """Each byte is read twice: to check it, and to store it."""
        self.checked_bytes += done_bytes
        at = self.use.clock()
        if self.until - at < IN_HAND_FOR - SIGN_OF_LIFE_EVERY:
            self.until = at + IN_HAND_FOR
            try:
                with self.use.database.transaction() as session:
                    upload = _in_hand(session, self)
                    upload.worked_until, upload.checked_bytes = self.until, self.checked_bytes // 2
            except (DatabaseUnavailable, *DATABASE_ERRORS):
                return  # it is waited for where it is needed


def publish_next(use: Resources) -> bool:
    """Publish, propose or refuse the upload that has waited longest; returns whether there was one.

    Raises what stands in the way of this process rather than of the upload: it stays, and is tried again.
    """
    run = _take(use)
    if run is None:
        return False
    try:
        _publish(run)
    except NotPublishable as faults:
        _end(run, InvalidRequest(str(faults), next_step="Correct the folder, and publish it again."))
    except ChecksumMismatch as error:
        _end(run, NotPossible(f"The upload was damaged: {error}.", next_step=_AGAIN))
    except _NotArrived as missing:
        _end(run, NotPossible(str(missing), next_step=_AGAIN), UploadState.OPEN)
    except Refused as refused:
        _end(run, refused)
    return True


def _take(use: Resources) -> _Run | None:
    at = use.clock()
    idle = or_(Upload.worked_until.is_(None), Upload.worked_until < at)
    oldest = select(Upload).where(IS_CHECKING, idle).order_by(Upload.touched_at).limit(1)
    with use.database.reading() as session:
        if session.scalar(oldest) is None:
            return None
    with use.database.transaction() as session:
        upload = session.scalar(oldest.with_for_update(skip_locked=True))
        if upload is None:
            return None
        upload.worked_until = at + IN_HAND_FOR
        return _Run(use, upload, uploads.files_of(session, upload.id), upload.worked_until)


def _publish(run: _Run) -> None:
    use, upload = run.use, run.upload
    found = Folder(_put_together(run), [file.path for file in run.files], [])

    def keep(session: Session, checkpoint_id: str, proposal: int | None) -> None:
        done = _in_hand(session, run)
        done.state = UploadState.PUBLISHED if proposal is None else UploadState.PROPOSED
        done.checkpoint_id, done.proposal = checkpoint_id, proposal
        if proposal is not None:
            done.next_step = opening.next_step(session, session.get_one(Proposal, proposal))
        _forget_files(session, done)

    publishing.publish(
        use, uploads.caller_of(upload), found, _stage_of(run), note=upload.note, progress=run.progress, keep=keep
    )
    _clear_away(run)


def _put_together(run: _Run) -> list[StoredFile]:
    """Return the files as the store has them now. Raises _NotArrived while a part is missing: then nothing was done."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE, thread_name_prefix="receive") as pool:
        works = list(pool.map(lambda file: _ready(run.use, file), run.files))
        list(pool.map(lambda work: work(), works))
        return list(pool.map(lambda file: _stored(run.use, file), run.files))


def _ready(use: Resources, file: UploadFile) -> Callable[[], None]:
    """Return what makes the object of its parts, once it is known that the store holds them all, or the object."""
    parts = None if file.attempt is None else use.arrivals.arrived(file.object_key, file.attempt)
    if parts is None and _whole(use, file) is not None:
        return lambda: None  # an earlier run did it
    if file.attempt is None or parts is None or (missing := upload_parts.missing(file, parts)):
        lacking = "everything" if not parts else f"part {missing[0]} of {upload_parts.count(file.size_bytes)}"
        raise _NotArrived(f"{file.path}: {lacking} has not arrived in the store.")
    attempt, digests = file.attempt, upload_parts.digests(file)
    return lambda: use.arrivals.put_together(file.object_key, attempt, parts, digests)


def _whole(use: Resources, file: UploadFile) -> ObjectInfo | None:
    """The object, if it is there in full. Anything else is put together again, or sent again."""
    info = use.arrivals.head(file.object_key)
    return info if info is not None and info.size_bytes == file.size_bytes else None


def _stored(use: Resources, file: UploadFile) -> StoredFile:
    if (info := _whole(use, file)) is None:
        raise _NotArrived(f"{file.path}: the store did not put it together.")
    location = use.arrivals.location(file.object_key, info.size_bytes, info.etag)
    return StoredFile(file.path, location, info.size_bytes, file.sha256)


def _stage_of(run: _Run) -> str:
    with run.use.database.reading() as session:
        return session.get_one(Upload, run.upload.id).stage.full_name


def _in_hand(session: Session, run: _Run) -> Upload:
    """The upload, locked. Raises NotPossible when it is in other hands, or removed."""
    upload = session.get(Upload, run.upload.id, with_for_update=True)
    if upload is None or upload.state != UploadState.CHECKING or upload.begun_at != run.upload.begun_at:
        raise NotPossible("The upload has been ended meanwhile.", next_step=_AGAIN)
    return upload


def _end(run: _Run, refused: Refused, state: UploadState = UploadState.REFUSED) -> None:
    """Write down why it is not published, unless it is in other hands. What cannot become anything is cleared away."""
    with run.use.database.transaction() as session:
        try:
            upload = _in_hand(session, run)
        except NotPossible:
            return
        contact = run.use.settings.contact
        upload.state, upload.touched_at, upload.worked_until = state, run.use.clock(), None
        upload.refusal_code, upload.refusal = refused.code, refused.detail
        upload.next_step = refused.next_step.replace("{contact}", contact)
        if state == UploadState.REFUSED:
            _forget_files(session, upload)
    if state == UploadState.REFUSED:
        _clear_away(run)


def _forget_files(session: Session, upload: Upload) -> None:
    session.execute(delete(UploadFile).where(UploadFile.upload_id == upload.id))


def _clear_away(run: _Run) -> None:
    """What was uploaded is stored elsewhere, or refused. What is left when this fails, the worker removes."""
    for file in run.files:
        if file.attempt is not None:
            run.use.arrivals.abort(file.object_key, file.attempt)
        run.use.arrivals.delete(file.object_key)
