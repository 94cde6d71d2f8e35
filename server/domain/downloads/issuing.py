"""Downloads: exchange a clearance for signed URLs, with a log entry that is committed before any URL exists."""

import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import orjson
from sqlalchemy import select
from sqlalchemy.orm import Session

from server import dates
from server.domain import acts, entry_kinds
from server.domain.access import kept_facts, rule
from server.domain.access.rule import Grant
from server.domain.callers import Caller
from server.domain.downloads import recipients
from server.domain.entry_kinds import EntryKind
from server.domain.errors import InvalidRequest, NotFound, NotSealedYet, RecordArchived
from server.domain.identity.organizations import Organization
from server.domain.paging import Page, Slice, page
from server.domain.permissions import Permission
from server.domain.publish.checkpoints import FILES_AT_MOST, MAIN, File
from server.domain.resources import Resources
from server.log import authority, condition, published, receipts, tree
from server.log.archived import is_archived
from server.log.condition import SoundLog
from server.log.entries import Appended, LogEntry
from server.log.published import NotPublished
from server.log.receipts import Receipt
from server.storage.database import AnyRow
from server.storage.signing import StoredObject

_RecordFor: TypeAlias = Callable[[Grant], dict[str, Any]]

PROMISED_SEALED_WITHIN_SECONDS = 60  # the receipt's maximum merge delay
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for.

    paths: None for all files. renews: the download whose URLs have run out. for_browser: a browser saves the files
    under their names, whatever it could show of them.
    """

    stage: str
    checkpoint: str = MAIN
    paths: Sequence[str] | None = None
    renews: str | None = None
    for_browser: bool = False


@dataclass(frozen=True, slots=True)
class Download:
    """What was issued. The URLs work until `expires_at`; `entry` and `receipt` are the caller's side of the log.

    stage: its name of today, whichever was asked for.
    """

    id: str
    stage: str
    checkpoint_id: str
    expires_at: datetime
    entry: Appended
    receipt: bytes
    files: list[File]
    urls: list[str]


@dataclass(frozen=True, slots=True)
class _Logged:
    """A decision whose entry is committed, and in which log."""

    grant: Grant
    log: SoundLog
    entry: Appended


def issue(use: Resources, caller: Caller, order: Order) -> Download:
    """Decide, log, then sign. Raises a Refused, LogUnsound or OutsideFault: then nothing was logged, no URL exists.

    Raises authority.Changed for a caller who is kept, when something has changed since: the same holds.
    """
    caller.require(Permission.DOWNLOAD_CREATE)
    use.outside.require()
    _require_sensible(order.paths)
    recipient = recipients.of(use, caller)
    download_id, lifetime_seconds = str(new_id(use.clock())), use.url_lifetime_seconds()

    def record(grant: Grant) -> dict[str, Any]:
        return record_of(caller, grant, download_id, lifetime_seconds, order.renews)

    logged = _log_expected(use, caller, order, record)
    if logged is None and caller.is_kept:
        raise authority.Changed
    logged = logged or _decide_and_log(use, caller, order, record)
    grant, log, entry = logged.grant, logged.log, logged.entry
    # The entry is committed: from here on a crash loses a URL, never a record.
    count(use, caller, grant)
    urls = use.signer.sign(
        [_saved(file) if order.for_browser else file.stored for file in grant.files],
        download_id=download_id,
        lifetime_seconds=lifetime_seconds,
        moment=grant.at,  # so that they end when the entry says, however late they are signed
        recipient=recipient,
    )
    expires_at = grant.at.replace(microsecond=0) + timedelta(seconds=lifetime_seconds)
    return Download(
        id=download_id,
        stage=f"{grant.model}/{grant.stage}",
        checkpoint_id=grant.checkpoint.checkpoint_id,
        expires_at=expires_at,
        entry=entry,
        receipt=_receipt(use, log, entry),
        files=grant.files,
        urls=urls,
    )


def _log_expected(use: Resources, caller: Caller, order: Order, record_for: _RecordFor) -> _Logged | None:
    """Append the entry if what was decided before still holds where it is appended. None: nothing was appended."""
    expected = kept_facts.expect(use, caller, order.stage, order.checkpoint, order.paths)
    if expected is None:
        return None
    grant, log, kind = expected.grant, expected.log, EntryKind.DOWNLOAD
    record = record_for(grant)
    entry = authority.append_under(
        use.database, expected.generation, log.id, str(kind), grant.at, record,
        organization_id=caller.organization_id, **entry_kinds.columns(kind, record),
    )  # fmt: skip
    return None if entry is None else _Logged(grant, log, entry)


def _decide_and_log(use: Resources, caller: Caller, order: Order, record_for: _RecordFor) -> _Logged:
    """Read everything, decide, and append the entry, in one transaction that holds what was read."""

    def work(session: Session) -> _Logged:
        grant, log = decide(session, use, caller, order)
        return _Logged(grant, log, append(session, caller, grant, log, record_for(grant)))

    logged = use.database.together(work)
    kept_facts.keep(use, caller, order.stage, order.checkpoint, logged.grant, logged.log)
    return logged


def decide(session: Session, use: Resources, caller: Caller, order: Order) -> tuple[Grant, SoundLog]:
    """Decide an issue inside the transaction that then appends its entry, and in which log. Raises as `issue`."""
    grant = rule.require(session, use, caller, order.stage, order.checkpoint, order.paths)
    return grant, condition.require_sound(session, grant.at)


def append(session: Session, caller: Caller, grant: Grant, log: SoundLog, record: Mapping[str, Any]) -> Appended:
    """Append the entry of a download as the transaction's last act."""
    return acts.append(
        session, EntryKind.DOWNLOAD, grant.at, record, organization_id=caller.organization_id, log_id=log.id
    )


def renew(use: Resources, caller: Caller, download_id: str, paths: Sequence[str] | None) -> Download:
    """Issue fresh URLs for files of an earlier download of the same organization: decided and logged anew."""
    caller.require(Permission.DOWNLOAD_CREATE)
    _require_sensible(paths)
    with use.database.reading() as session:
        before = _earlier(session, caller, download_id)
    held = [file["path"] for file in before["files"]]
    if paths is not None and not set(paths) <= set(held):
        raise NotFound("One of the paths was not part of that download. Nothing was issued.")
    stage = f"{before['model']}/{before['stage']}"
    wanted = held if paths is None else paths
    return issue(use, caller, Order(stage, before["checkpoint"], wanted, renews=download_id))


def proof(session: Session, caller: Caller, download_id: str) -> bytes:
    """Return the tlog-proof of a download's entry. Raises NotFound, NotSealedYet."""
    try:
        return published.proof(session, find(session, caller, download_id))
    except NotPublished:
        raise NotSealedYet from None


def find(session: Session, caller: Caller, download_id: str) -> LogEntry:
    """The entry of a download of one's own organization; for staff of any. Raises NotFound."""
    query = select(LogEntry).where(LogEntry.subject == download_id, LogEntry.kind == EntryKind.DOWNLOAD)
    if not caller.is_staff:
        query = query.where(LogEntry.organization_id == caller.organization_id)
    entry = session.scalar(query)
    if entry is None:
        raise NotFound("Your organization has no such download.")
    return entry


def visible(session: Session, caller: Caller, part: Slice) -> Page[dict[str, Any]]:
    """The records of one's own organization's downloads, newest first; for staff everybody's.

    Of an archived one what its row still says, and `archived`: that is all.
    """
    query = select(
        LogEntry.id, LogEntry.record, LogEntry.salt, LogEntry.subject, LogEntry.stage, LogEntry.person,
        LogEntry.appended_at, LogEntry.organization_id,
    ).where(LogEntry.kind == EntryKind.DOWNLOAD, LogEntry.salt != b"")  # fmt: skip  # not the erased
    if not caller.is_staff:
        query = query.where(LogEntry.organization_id == caller.organization_id)
    found = page(session, query, LogEntry.id, part, newest_first=True, scalars=False)
    numbers = {row.organization_id for row in found.items if is_archived(row)}
    names = select(Organization.id, Organization.slug).where(Organization.id.in_(numbers))
    slugs = dict(session.execute(names).all()) if numbers else {}
    records = [archived(row, slugs) if is_archived(row) else orjson.loads(row.record) for row in found.items]
    return Page(records, found.next_after)


def archived(row: AnyRow | LogEntry, slugs: Mapping[int, str]) -> dict[str, Any]:
    """What is left of a download's record once it is archived: what its row says, and that. slugs: of organizations."""
    model, _, stage = str(row.stage).partition("/")
    return {
        "download": row.subject, "time": dates.milliseconds(row.appended_at), "model": model, "stage": stage,
        "actor": {"organization": slugs.get(row.organization_id or 0), "person": row.person}, "archived": True,
    }  # fmt: skip


def issued_at(record: dict[str, Any]) -> datetime:
    return dates.of_milliseconds(record["time"])


def record_of(
    caller: Caller, grant: Grant, download_id: str, lifetime_seconds: int, renews: str | None = None
) -> dict[str, Any]:
    """What the log keeps of a download."""
    record: dict[str, Any] = {
        "actor": caller.as_record(),
        "download": download_id,
        "model": grant.model,
        "stage": grant.stage,
        "checkpoint": grant.checkpoint.checkpoint_id,
        "files": [file.record for file in grant.files],
        "lifetime_seconds": lifetime_seconds,
    }
    authority = {
        "clearance": grant.clearance_id,
        "tier": grant.tier,
        "agreement_sha256": grant.agreement_sha256,
        "signature": grant.signature_id,
        "renews": renews,
    }
    return record | {key: value for key, value in authority.items() if value is not None}


def count(use: Resources, caller: Caller, grant: Grant) -> None:
    """Count what was committed, for the metrics."""
    use.meters.issued(caller.door or caller.via, [file.size_bytes for file in grant.files])


def new_id(at: datetime) -> uuid.UUID:
    """A random id that sorts by time, so that an index grows at its end (RFC 9562, section 5.7)."""
    value = (dates.milliseconds(at) << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)  # RFC variant


def _saved(file: File) -> StoredObject:
    return file.stored._replace(filename=file.path.rpartition("/")[2])


def _receipt(use: Resources, log: SoundLog, entry: Appended) -> bytes:
    promise = Receipt(log.origin, tree.leaf_hash(entry.commitment), entry.time_ms, PROMISED_SEALED_WITHIN_SECONDS)
    return receipts.sign(promise, use.receipt_signer(log.receipt_vkey))


def _earlier(session: Session, caller: Caller, download_id: str) -> dict[str, Any]:
    mine = LogEntry.organization_id == caller.organization_id
    if caller.organization_id is None:
        mine = LogEntry.organization_id.is_(None)
    query = select(LogEntry.record, LogEntry.salt).where(
        LogEntry.subject == download_id, LogEntry.kind == EntryKind.DOWNLOAD, mine
    )
    # What is no id is the id of nothing; PostgreSQL would not even be asked about a NUL.
    found = session.execute(query).first() if ID.fullmatch(download_id) else None
    if found is not None and is_archived(found):
        raise RecordArchived(
            "This download is too old to be renewed: its record was archived.",
            next_step="Request a new download of the stage. The proof of this one is still served.",
        )
    if found is None or not found.record:  # or erased
        raise NotFound("Your organization has no such download.")
    loaded: dict[str, Any] = orjson.loads(found.record)
    return loaded


def _require_sensible(paths: Sequence[str] | None) -> None:
    if paths is None:
        return
    if not paths:
        raise InvalidRequest("`paths` is empty. Name at least one file, or omit it to get all files.")
    if len(paths) > FILES_AT_MOST:
        raise InvalidRequest(f"`paths` has more than {FILES_AT_MOST} entries. Omit it to get all files.")
    if len(set(paths)) != len(paths):
        raise InvalidRequest("`paths` contains the same file twice.")
