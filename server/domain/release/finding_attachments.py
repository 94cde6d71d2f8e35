"""Attachments of findings: announced, put into the store by their reporter, checked, and only then part of the finding.

The bytes go from the reporter to the store, and from there to whoever may read the finding, always as a download.
"""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, Index, String, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from server.domain import acts
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotPossible
from server.domain.permissions import Permission
from server.domain.release import attachment_contents, findings
from server.domain.release.attachment_contents import NAME, SIZE_BYTES_AT_MOST, TYPES, NotAttachable
from server.domain.release.findings import Finding
from server.domain.resources import Resources
from server.storage.attachments import AttachmentObjects
from server.storage.database import Base, Key, Moment
from server.storage.signing import StoredObject

PREFIX = "findings/"
AT_MOST = 5  # of one finding
UPLOAD_SECONDS = 900  # 50 MB over a slow line
FORGOTTEN_AFTER = timedelta(days=1)


class FindingAttachment(Base):
    """One file. Until `completed_at` it is only announced: nobody reads it, and a day later it is removed."""

    __tablename__ = "finding_attachments"
    id: Mapped[int] = mapped_column(Key, primary_key=True)
    finding_id: Mapped[int] = mapped_column(ForeignKey("findings.id"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    size_bytes: Mapped[int] = mapped_column(Key)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(String(100), unique=True)  # ours: no name of theirs is in it
    begun_at: Mapped[datetime] = mapped_column(Moment)
    completed_at: Mapped[datetime | None] = mapped_column(Moment)


IS_UNFINISHED = FindingAttachment.completed_at.is_(None)
Index("ix_finding_attachments_unfinished", FindingAttachment.begun_at, sqlite_where=IS_UNFINISHED,
      postgresql_where=IS_UNFINISHED)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """Where an announced file is to be put, with which headers, and until when."""

    attachment: FindingAttachment
    url: str
    headers: dict[str, str]
    expires_at: datetime


def begin(use: Resources, caller: Caller, finding_id: int, name: str, size_bytes: int, sha256: str) -> Slot:
    """Announce a file of one's own organization's finding. Raises InvalidRequest, NotFound, NotPossible."""
    caller.require(Permission.FINDING_CREATE)
    store = _store(use)
    if not NAME.fullmatch(name) or not 0 < size_bytes <= SIZE_BYTES_AT_MOST:
        raise InvalidRequest(
            f"A file has a plain name that ends in {TYPES}, and 1 to {SIZE_BYTES_AT_MOST} bytes.",
            next_step="Rename the file, or send what is in an archive file by file.",
        )
    with use.database.transaction() as session:
        finding = _own(session, caller, finding_id, lock=True)
        known = select(func.count()).where(FindingAttachment.finding_id == finding.id)
        if (session.scalar(known) or 0) >= AT_MOST:
            raise NotPossible(f"A finding has up to {AT_MOST} attachments.", next_step="Report another finding.")
        attachment = FindingAttachment(
            finding_id=finding.id, name=name, size_bytes=size_bytes, sha256=sha256, begun_at=use.clock(),
            object_key=f"{PREFIX}{finding.id}/{secrets.token_hex(16)}",
        )  # fmt: skip
        session.add(attachment)
    url, headers = store.upload_url(attachment.object_key, bytes.fromhex(sha256), size_bytes, UPLOAD_SECONDS)
    return Slot(attachment, url, headers, attachment.begun_at + timedelta(seconds=UPLOAD_SECONDS))


def complete(use: Resources, caller: Caller, finding_id: int, attachment_id: int) -> FindingAttachment:
    """Check what was put there; from then on it is part of the finding. What is not as announced is deleted.

    Raises InvalidRequest for a content that is refused, NotPossible where nothing was put yet, NotFound.
    """
    caller.require(Permission.FINDING_CREATE)
    store = _store(use)
    with use.database.reading() as session:
        attachment = _of(session, _own(session, caller, finding_id), attachment_id)
    if attachment.completed_at is not None:
        return attachment
    because = _fault(store, attachment)
    with use.database.transaction() as session:
        finding = _own(session, caller, finding_id, lock=True)
        attachment = _of(session, finding, attachment_id)
        if attachment.completed_at is not None:  # by another request, at the same moment
            return attachment
        if because is None:
            attachment.completed_at = use.clock()
            findings.record(
                session, caller, EntryKind.FINDING_ATTACH, finding, attachment.completed_at,
                attachment=attachment.id, sha256=attachment.sha256, size_bytes=attachment.size_bytes,
            )  # fmt: skip
            return attachment
        session.delete(attachment)
    store.delete(attachment.object_key)
    raise InvalidRequest(f"The file was refused: {because}.", next_step="Attach a file of another form.")


def open_url(use: Resources, caller: Caller, finding_id: int, attachment_id: int) -> tuple[str, datetime]:
    """Return a URL that saves an attachment of a finding that the caller may read; logged before it leaves."""
    lifetime, opening = use.store_url_lifetime_seconds(), str(uuid.uuid4())
    with use.database.transaction() as session:
        finding = findings.get(session, caller, finding_id)
        attachment = _of(session, finding, attachment_id)
        if attachment.completed_at is None:
            raise NotFound(f"There is no attachment {attachment_id}.")
        at = use.clock()
        record = {
            "actor": caller.as_record(), "finding": finding.id, "stage": finding.stage.full_name,
            "attachment": attachment.id, "opening": opening, "lifetime_seconds": lifetime,
            "object_key": attachment.object_key, "size_bytes": attachment.size_bytes,
        }  # fmt: skip
        acts.append(session, EntryKind.FINDING_OPEN, at, record)  # for the lab alone: it names who reads whose finding
    stored = StoredObject(attachment.object_key, filename=f"finding-{finding.id}-{attachment.name}")
    (url,) = use.store_signer.sign([stored], download_id=opening, lifetime_seconds=lifetime, moment=at)
    return url, at + timedelta(seconds=lifetime)


def attached(session: Session, finding_id: int) -> Sequence[FindingAttachment]:
    """What is part of a finding, in the order in which it was announced. Whoever asks has made sure of the finding."""
    query = select(FindingAttachment).where(FindingAttachment.finding_id == finding_id, ~IS_UNFINISHED)
    return session.scalars(query.order_by(FindingAttachment.id)).all()


def clean(use: Resources) -> None:
    """Remove what was announced a day ago and never completed, with what was put there of it."""
    if use.settings.findings_key_file is None:
        return
    store, at = _store(use), use.clock()
    query = select(FindingAttachment).where(IS_UNFINISHED, FindingAttachment.begun_at < at - FORGOTTEN_AFTER)
    with use.database.reading() as session:
        stale = session.scalars(query.order_by(FindingAttachment.begun_at).limit(100)).all()
    for attachment in stale:
        store.delete(attachment.object_key)  # first: if we crash after this, the row is found again
        with use.database.transaction() as session:
            if (row := session.get(FindingAttachment, attachment.id, with_for_update=True)) is not None:
                session.delete(row)


def _store(use: Resources) -> AttachmentObjects:
    store = use.attachments
    if store is None:
        raise NotPossible(
            "This server takes no attachments.", next_step="Put what matters into the text, or send it to {contact}."
        )
    return store


def _fault(store: AttachmentObjects, attachment: FindingAttachment) -> str | None:
    """Why what was put there is refused. Its size is looked at first: no more than was announced is read."""
    info = store.head(attachment.object_key)
    if info is None:
        raise NotPossible(
            f"{attachment.name} has not arrived in the store.", next_step="Send it to the URL, then try again."
        )
    if info.size_bytes != attachment.size_bytes:
        return f"it has {info.size_bytes} bytes, not {attachment.size_bytes}"
    content = store.get_bytes(attachment.object_key)
    if hashlib.sha256(content).hexdigest() != attachment.sha256:
        return "it is not the file that was announced"
    try:
        attachment_contents.require(attachment.name, content)
    except NotAttachable as fault:
        return str(fault)
    return None


def _own(session: Session, caller: Caller, finding_id: int, *, lock: bool = False) -> Finding:
    """A finding of the caller's own organization. Raises NotFound, NotPossible for one that is settled."""
    finding = findings.get(session, caller, finding_id)
    if finding.organization_id != caller.organization_id:
        raise NotFound(f"There is no finding {finding_id} of your organization.")
    if lock:
        session.refresh(finding, with_for_update={"of": Finding})
    if finding.is_settled:
        raise NotPossible(f"Finding {finding_id} is {finding.state}.", next_step="Report another finding.")
    return finding


def _of(session: Session, finding: Finding, attachment_id: int) -> FindingAttachment:
    attachment = session.get(FindingAttachment, attachment_id)
    if attachment is None or attachment.finding_id != finding.id:
        raise NotFound(f"There is no attachment {attachment_id}.")
    return attachment
