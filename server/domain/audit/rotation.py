"""Rotation: the next log, with new keys and a name of its own, bound to the log before it in both directions.

The new keys lie beside the old ones as `<file>.new` before the database hears of them, and take their place after the
commit. So a run that was interrupted is continued by the same command: before the commit it begins again with the keys
that are there, after it only the renaming is missing.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.domain import acts
from server.domain.audit import logs, rotation_permits, sealer, verifying
from server.domain.audit.judging.world import Record
from server.domain.audit.rotation_permits import Terms
from server.domain.callers import Caller
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import anchors, condition, heads, sealing
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import Log, LogEntry
from server.log.heads import Head
from server.log.notes import VerifierKey
from server.log.sealing import LogHead, newest_head
from server.storage import keys
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError


@dataclass(frozen=True, slots=True)
class Rotated:
    """The log that is appended to from now on. finished: it had been opened by a run that was interrupted.

    anchored: whether the end of the old log and the beginning of the new one were; None where no anchors are kept.
    """

    origin: str
    vkey: str
    receipt_vkey: str
    before: str
    finished: bool = False
    anchored: bool | None = None


def rotate(use: Resources, caller: Caller, alone: Terms | None = None) -> Rotated:
    """Close the log and open the next one, as two have allowed; alone: on which terms, where nobody else is left.

    Of a log that is abandoned, because it cannot go on, nothing more is written. Raises NotPossible, SealingStopped,
    KeyFileError, ObjectStoreError, BehindAnchor, Forked.
    """
    caller.require(Permission.LOG_MANAGE)
    owner = use.as_owner()
    try:
        if (begun := _finished(owner)) is not None:
            return begun
        with owner.database.reading() as session:
            log = logs.current(session)
            present, terms = log.id, rotation_permits.require(session, caller, log, owner.clock(), alone)
        (_require_unsound if terms.abandon else _require_sound)(owner)
        fresh = _with_new_keys(owner)
        name, last = _free_name(owner), _last_good(owner) if terms.abandon else None  # may ask the anchors: unlocked
        with owner.database.transaction() as session:
            old = verifying.locked(session)
            if old.id != present:
                raise NotPossible("Another log has just been opened.", next_step="Check `keys show` first.")
            new = logs.open_next(session, fresh, owner.clock(), name)
            said = _said(caller, new, terms)
            if terms.abandon:
                _abandon(session, owner, old, new, last, said)
            else:
                last = _close(session, owner, old, new, said)
        # From here on the new keys are the log's: a crash leaves what the same command finishes.
        _take_over(owner, new, old)
        anchored = _anchored(owner, old, None if terms.abandon else last)
        return Rotated(new.origin, new.vkey, new.receipt_vkey, old.origin, anchored=anchored)
    finally:
        owner.close()


def _finished(use: Resources) -> Rotated | None:
    """Take over the keys of a log that was opened by a run that was interrupted; None when there was none."""
    with use.database.reading() as session:
        log = logs.current(session)
        before = logs.before(session, log)
    if before is None or not _take_over(use, log, before):
        return None
    return Rotated(log.origin, log.vkey, log.receipt_vkey, before.origin, finished=True)


def _take_over(use: Resources, log: Log, before: Log) -> bool:
    """Put the new keys in the place of the old ones; returns whether any waited. The old log key is kept beside."""
    settings, taken = use.settings, False
    for path, vkey in ((settings.log_key_file, log.vkey), (settings.receipt_key_file, log.receipt_vkey)):
        new = _new(path)
        if not new.exists() or _public(new) != VerifierKey.parse(vkey).public:
            continue
        if path == settings.log_key_file and path.exists():
            kept = path.with_name(f"{path.name}.{before.name}")
            kept.unlink(missing_ok=True)  # of a run that was interrupted here
            os.link(path, kept)
        new.replace(path)
        taken = True
    return taken


def _said(caller: Caller, new: Log, terms: Terms) -> Record:
    """What the last entry of the one log and the first of the next both say."""
    known = {"vkey": new.vkey, "receipt_vkey": new.receipt_vkey, "because": terms.because}
    return {**known, **terms.allowed_by, "actor": caller.as_record()}


def _require_sound(use: Resources) -> None:
    """The log must be one that can be closed: sealed to its end, and the one that was anchored."""
    with use.database.reading() as session:
        stopped = logs.current(session).stop_reason
    if stopped is not None:
        raise NotPossible(
            f"The log is stopped: {stopped}.",
            next_step="See `The log is stopped` in deploy/README.md; to leave it as it is, propose `--abandon`.",
        )
    sealer.require_anchored(use)
    sealer.seal(use)  # most of it before the log is locked, so that nobody waits long


def _require_unsound(use: Resources) -> None:
    """A log that can be closed in order is not abandoned: partners hold promises that it would break."""
    try:
        with use.database.reading() as session:
            log = logs.current(session)
            condition.require_sound(session, use.clock())
        use.log_signer(log.vkey)
    except (LogUnsound, KeyFileError):
        return
    try:
        sealer.anchored_size(use)
    except (BehindAnchor, Forked):
        return
    raise NotPossible(
        "The log has no faults.", next_step="Propose the rotation without --abandon, to close the log properly."
    )


def _with_new_keys(use: Resources) -> Resources:
    """The same with key files that lie beside the present ones; those of a run that was interrupted are used."""
    settings = use.settings
    for path in (settings.log_key_file, settings.receipt_key_file):
        if not _new(path).exists():
            part = path.with_name(f"{path.name}.part")
            part.unlink(missing_ok=True)
            keys.write_note_key(part)
            part.rename(_new(path))
    update = {name: _new(getattr(settings, name)) for name in ("log_key_file", "receipt_key_file")}
    return Resources(settings.model_copy(update=update), use.clock)


def _free_name(use: Resources) -> str:
    """A name for the next log; none that a log was ever anchored under: it may be of a future that a restore undid."""
    bucket = use.anchor_bucket
    with use.database.reading() as session:
        return logs.next_name(
            session, use, use.clock(), lambda origin: bucket is not None and anchors.exist(bucket, origin)
        )


def _close(session: Session, use: Resources, old: Log, new: Log, said: Record) -> LogHead:
    """Close the old log with an entry that names the new one, seal all of it, and open the new log with its last head.

    Returns that head.
    """
    at = use.clock()
    record = {"next": new.origin, **said}
    acts.append(session, EntryKind.LOG_CLOSE, at, record, log_id=old.id)
    signer = use.log_signer(old.vkey)
    while sealing.seal_round(session, old, signer, at):
        session.flush()
    last = newest_head(session, old.id)
    if last is None or _unsealed(session, old):
        raise NotPossible("The log could not be sealed completely.", next_step="Try again.")
    old.closed_at = at
    record = {"origin": new.origin, "before": old.origin, "head": last.note, **said}
    acts.append(session, EntryKind.LOG_OPEN, at, record, log_id=new.id)
    return last


def _abandon(session: Session, use: Resources, old: Log, new: Log, last: LogHead | None, said: Record) -> None:
    """Leave the old log as it is, and open the new one with the last good head that we hold of it, and the reason."""
    record = {"origin": new.origin, "before": old.origin, "abandoned": True, "unsealed": _unsealed(session, old)} | said
    record |= {"head": last.note} if last is not None else {}
    record |= {"stopped": old.stop_reason} if old.stop_reason is not None else {}
    old.closed_at = at = use.clock()
    acts.append(session, EntryKind.LOG_OPEN, at, record, log_id=new.id)


def _last_good(use: Resources) -> LogHead | None:
    """The newest head that the log's key signed, before the first one that is not what was anchored."""
    with use.database.reading() as session:
        log = logs.current(session)
        kept = session.scalars(select(LogHead).where(LogHead.log_id == log.id).order_by(LogHead.size.desc())).all()
    limit = kept[0].size + 1 if kept else 0
    if use.anchor_bucket is not None:
        roots = {head.size: head.root for head in kept}
        limit = min([limit, *anchors.differing(use.anchor_bucket, log.origin, roots.get)])
    for head in kept:
        try:
            signed = heads.verify(head.note.encode(), VerifierKey.parse(log.vkey))
        except ValueError:
            continue
        if head.size < limit and (signed.size, signed.root) == (head.size, head.root):
            return head
    return None


def _unsealed(session: Session, log: Log) -> int:
    query = select(func.count()).select_from(LogEntry)
    return session.scalar(query.where(LogEntry.log_id == log.id, LogEntry.leaf_index.is_(None))) or 0


def _anchored(use: Resources, log: Log, last: LogHead | None) -> bool | None:
    """Anchor the old log's last head, and the new log at once: no restored backup may use its name again."""
    if use.anchor_bucket is None:
        return None
    try:
        if last is not None:
            anchors.write(use.anchor_bucket, Head(log.origin, last.size, last.root), last.note.encode())
        sealer.seal(use)
        sealer.anchor(use)
    except (ObjectStoreError, Forked):  # of a fork `log verify` tells
        return False
    return True


def _new(path: Path) -> Path:
    return path.with_name(f"{path.name}.new")


def _public(path: Path) -> bytes:
    return keys.read_note_key(path).public_key().public_bytes_raw()
