"""Archiving: the records of an old month's downloads leave the database; they are in the month's file in the bucket.

The file is first compared with every row, and a sealed entry tells of it before anything is emptied. Rows are emptied
some at a time, so that downloads can be issued meanwhile: if it is interrupted, the same command empties the rest.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, false, func, or_, select, update
from sqlalchemy.orm import Session

from server import dates
from server.domain import acts
from server.domain.audit import archives, logs, months, verifying
from server.domain.audit.month import Month
from server.domain.audit.months import Row
from server.domain.callers import Caller
from server.domain.delivery import statistics
from server.domain.entry_kinds import EntryKind
from server.domain.errors import NotPossible
from server.domain.identity.organizations import Organization
from server.domain.permissions import Permission
from server.domain.resources import Resources
from server.log import archived, sealing, verification
from server.log.archived import ARCHIVED_AFTER, KINDS, Archive, Places, Records
from server.log.entries import Log, LogEntry, commitment_of
from server.storage.database import AnyRow
from server.storage.log_bucket import LogBucket

EMPTIED_AT_ONCE = 1000
VERIFY = "Run `weightgate-server log verify`, and do not delete the file."
Progress = Callable[[int, int], None]  # records emptied, records to be emptied


@dataclass(frozen=True, slots=True)
class Archived:
    """What was done. file: below the place of the months; older: the one that it replaces, which is still there."""

    month: Month
    file: str
    entries: int
    emptied: int
    older: str | None = None


@dataclass(frozen=True, slots=True)
class _Compared:
    """A file that has what the log has. records: by log; erased_since: of how many it still has the records."""

    path: Path
    file: str
    entries: int
    records: dict[str, Records]
    erased_since: int = 0


def archive(
    use: Resources, caller: Caller, month: Month, because: str, progress: Progress = lambda *_: None
) -> Archived:
    """Empty the records of a month's downloads, once its file in the bucket is seen to have them all.

    For a month that was archived before: empties what is left, and where entries were erased since, writes another
    file without them. Raises NotPossible, ObjectStoreError, SealingStopped, KeyFileError.
    """
    caller.require(Permission.LOG_MANAGE)
    verifying.require_reason(because)
    months.require_parquet()
    bucket = _require_bucket(use)
    _require_old(use, month)
    _require_going(use)
    with tempfile.TemporaryDirectory(prefix="weightgate-archive-") as place:
        before = _known(use, month)
        found = _fetched(use, bucket, month, before, Path(place))
        if found.erased_since:
            found = _without_erased(use, bucket, month, found, Path(place))
        if before is None or before.file != found.file:
            _tell(use, caller, month, found, because, before)
    emptied = _empty_all(use, month, found.records, progress)
    older = None if before is None or before.file == found.file else before.file
    return Archived(month, found.file, found.entries, emptied, older)


def _require_bucket(use: Resources) -> LogBucket:
    if use.log_months is None:
        raise NotPossible(
            "Months of the log are not kept: the settings have no log_months.",
            next_step="Set log_months, and let the worker write the months. Archive on the machine that has its key.",
        )
    return use.log_months


def _require_old(use: Resources, month: Month) -> None:
    """Nothing looks into its records any more, and all of it is sealed and counted."""
    if month.until + ARCHIVED_AFTER > use.clock():
        raise NotPossible(
            f"{month} ended less than 90 days ago, so it cannot be archived yet.",
            next_step=f"It can be archived from {month.until + ARCHIVED_AFTER:%Y-%m-%d} on.",
        )
    if month not in months.finished(use):
        raise NotPossible(
            f"The log has no entries of {month}, or some are not sealed yet.", next_step="Check the month."
        )
    with use.database.reading() as session:
        if not statistics.is_counted_until(session, month.until):
            raise NotPossible(
                f"Downloads of {month} have not been counted for the charts yet.",
                next_step="Start the worker, and wait.",
            )


def _require_going(use: Resources) -> None:
    """Whoever looks into what happened to a stopped log needs everything that is there."""
    with use.database.reading() as session:
        if logs.current(session).stop_reason is not None:
            raise NotPossible(
                "The log is stopped. Nothing was archived.", next_step="Run `weightgate-server log status`."
            )


def _known(use: Resources, month: Month) -> Archive | None:
    with use.database.reading() as session:
        return archived.archives(session).get(str(month))


def _fetched(use: Resources, bucket: LogBucket, month: Month, before: Archive | None, place: Path) -> _Compared:
    """The month's file, as it is in the bucket, compared with the log row by row. Raises NotPossible."""
    if before is None:
        with use.database.reading() as session:
            file = months.file_of(session, month)
        there = months.files_in(bucket, month)
        if there != [file]:
            what = f"another {month} than the log" if there else f"no file of {month}"
            raise NotPossible(
                f"The bucket has {what}. Nothing was archived.",
                next_step="Wait until the worker has written it, and check the worker's messages about `months`.",
            )
    else:
        file = before.file
    found = _in_bucket(use, bucket, month, before, file, place / "fetched.parquet")
    if before is not None and found.records != before.records:
        raise NotPossible(f"The log has other downloads of {month} than were archived.", next_step=VERIFY)
    return found


def _in_bucket(
    use: Resources, bucket: LogBucket, month: Month, before: Archive | None, file: str, path: Path
) -> _Compared:
    """A file that is in the bucket, fetched and compared with the log row by row. Raises NotPossible."""
    try:
        archives.InBucket(bucket).fetch(file, path)
    except FileNotFoundError:
        raise NotPossible(f"{file} is not in the bucket. Nothing was done.", next_step="Put it back.") from None
    if before is not None and archives.sha256_of(path) != before.sha256:
        raise NotPossible(f"{file} is not the file that was archived. Nothing was done.", next_step=VERIFY)
    try:
        return _compared(use, month, path, file, is_known=before is not None)
    except _Differs as differs:
        raise NotPossible(f"{file} differs from the log: {differs}. Nothing was done.", next_step=VERIFY) from None


class _Differs(Exception):
    """The text says where."""


def _compared(use: Resources, month: Month, path: Path, file: str, *, is_known: bool) -> _Compared:
    """Raises _Differs."""
    entries = erased_since = 0
    places, named = dict[str, Places](), months.Digest()
    with use.database.reading() as session:
        numbers = {one.slug: one.id for one in session.execute(select(Organization.slug, Organization.id))}
        for origin, row, told in _side_by_side(session, month, path):
            entries += 1
            named.take(origin, row.leaf_index, row.commitment, is_erased=told["salt"] is None)
            if row.kind in KINDS:
                places.setdefault(origin, Places()).take(row.leaf_index)
            if row.is_erased and told["record"] is not None and is_known:
                if not verification.is_erasure_told(session, row.id):
                    raise _Differs(f"entry {row.leaf_index} of {origin} was emptied without an entry that records it")
                erased_since += 1
                continue
            if months.values(origin, _whole(row, told)) | {"time": None} != told | {"time": None}:
                raise _Differs(f"entry {row.leaf_index} of {origin}")
            if dates.milliseconds(row.appended_at) != dates.milliseconds(told["time"]):
                raise _Differs(f"the time of entry {row.leaf_index} of {origin}")
            is_emptied = row.kind in KINDS and not row.is_erased
            if is_emptied and row.organization_id != numbers.get(told["organization"]):  # the file has no numbers
                raise _Differs(f"the organization of entry {row.leaf_index} of {origin}")
    if file != named.file_of(month):
        raise _Differs("its name is not that of its entries")
    return _Compared(path, file, entries, {origin: found.records for origin, found in places.items()}, erased_since)


def _side_by_side(session: Session, month: Month, path: Path) -> Iterator[tuple[str, AnyRow, dict[str, Any]]]:
    """Each entry with its row in the file. Raises _Differs."""
    try:
        in_file = archives.rows_of(path)
        for origin, row in months.rows(session, month):
            told = next(in_file, None)
            if told is None or (told["log"], told["leaf_index"]) != (origin, row.leaf_index):
                raise _Differs(f"entry {row.leaf_index} of {origin} is not in its place")
            yield origin, row, told
        if next(in_file, None) is not None:
            raise _Differs("it has more entries")
    except archives.NotAMonth as error:
        raise _Differs(str(error)) from None


def _whole(row: AnyRow, told: dict[str, Any]) -> Row:
    """A row with its record: where it was emptied before, with that of the file, if it is the one. Raises _Differs."""
    record = row.record
    if not row.is_erased:
        record = record or (told["record"] or "").encode()
        if commitment_of(row.salt, record) != row.commitment:
            raise _Differs(f"the commitment of entry {row.leaf_index}")
    return Row(
        row.leaf_index, row.commitment, row.is_erased, row.appended_at, row.kind, row.person, row.stage, row.subject,
        row.code, row.salt, record,
    )  # fmt: skip


def _without_erased(use: Resources, bucket: LogBucket, month: Month, found: _Compared, place: Path) -> _Compared:
    """Write the file again, without the records that were erased since, and put it beside the older one."""
    path = place / "month.parquet"
    with use.database.reading() as session:
        file = months.file_of(session, month)
        rows = ((origin, _whole(row, told)) for origin, row, told in _side_by_side(session, month, found.path))
        try:
            months.write_rows(path, rows)
        except _Differs as differs:
            raise NotPossible(f"{found.file} differs from the log: {differs}.", next_step=VERIFY) from None
    if file not in months.files_in(bucket, month):  # from a run that was interrupted, or put there by someone
        months.upload(bucket, file, path)
    again = _in_bucket(use, bucket, month, None, file, place / "again.parquet")
    if again.records != found.records:
        raise NotPossible(f"The log has other downloads of {month} than were archived.", next_step=VERIFY)
    return again


def _tell(use: Resources, caller: Caller, month: Month, found: _Compared, because: str, before: Archive | None) -> None:
    """Append the entry that tells of the file, and seal it: nothing is emptied without."""
    owner = use.as_owner()
    try:
        with owner.database.transaction() as session:
            log = verifying.locked(session)
            now = archived.archives(session).get(str(month))
            if (now and now.file) != (before and before.file):
                raise NotPossible(f"Someone else has just archived {month}.", next_step="Check `log verify`.")
            _require_compared(_counts(session, *_downloads_of(month)), month, found.records)
            at = owner.clock()
            record = {
                "actor": caller.as_record(), "month": str(month), "file": found.file, "because": because,
                "sha256": archives.sha256_of(found.path), "size_bytes": found.path.stat().st_size,
                "entries": found.entries, "kinds": sorted(KINDS),
                "records": [{"log": origin} | asdict(one) for origin, one in sorted(found.records.items())],
            } | ({} if before is None else {"replaces": before.file})  # fmt: skip
            acts.append(session, EntryKind.LOG_ARCHIVE, at, record, log_id=log.id)
            signer = owner.log_signer(log.vkey)
            while sealing.seal_round(session, log, signer, at):
                session.flush()
    finally:
        owner.close()


def _counts(session: Session, *chosen: ColumnElement[bool]) -> dict[str, int]:
    """How many entries of each log."""
    query = select(Log.origin, func.count().label("number")).join(LogEntry, LogEntry.log_id == Log.id).where(*chosen)
    return {row.origin: row.number for row in session.execute(query.group_by(Log.origin))}


def _require_compared(counts: dict[str, int], month: Month, records: dict[str, Records]) -> None:
    if counts != {origin: one.count for origin, one in records.items()}:
        raise NotPossible(f"The log has other downloads of {month} than were compared.", next_step=VERIFY)


def _downloads_of(month: Month) -> tuple[ColumnElement[bool], ...]:
    of_month = LogEntry.appended_at >= month.since, LogEntry.appended_at < month.until
    return LogEntry.kind.in_(KINDS), LogEntry.leaf_index.is_not(None), *of_month


def _empty_all(use: Resources, month: Month, records: dict[str, Records], progress: Progress) -> int:
    """Empty what was compared: no download that the log has of this month since then."""
    owner = use.as_owner()
    try:
        with owner.database.reading() as session:
            ids = {row.origin: row.id for row in session.execute(select(Log.id, Log.origin))}
            up_to = [(LogEntry.log_id == ids[log]) & (LogEntry.leaf_index <= one.last) for log, one in records.items()]
            compared = *_downloads_of(month), or_(false(), *up_to)
            _require_compared(_counts(session, *compared), month, records)
            full = *compared, func.length(LogEntry.record) > 0
            total = session.scalar(select(func.count()).select_from(LogEntry).where(*full)) or 0
        done = after = 0
        while done < total:
            with owner.database.transaction() as session:
                some = select(LogEntry.id).where(*full, LogEntry.id > after).order_by(LogEntry.id)
                chosen = session.scalars(some.limit(EMPTIED_AT_ONCE)).all()
                if not chosen:  # erased meanwhile
                    break
                _empty(session, chosen)
            done, after = done + len(chosen), chosen[-1]
            progress(done, total)
        return done
    finally:
        owner.close()


def _empty(session: Session, ids: Any) -> None:
    emptied = update(LogEntry).where(LogEntry.id.in_(ids)).values(record=b"")
    session.execute(emptied.execution_options(synchronize_session=False))
    left = select(func.count()).select_from(LogEntry).where(LogEntry.id.in_(ids), func.length(LogEntry.record) > 0)
    if session.scalar(left):
        raise NotPossible("The records could not be emptied.")
