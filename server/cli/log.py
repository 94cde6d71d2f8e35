"""The sealed log: verify, export, reconcile, status, exposure, resume, archive, erase."""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import click

from server.cli.archived_months import OpenSource, with_source
from server.cli.bars import Bars
from server.cli.terminal import END, MOMENT, READABLE, Instance, acting, plain, printable, show, show_list, with_json
from server.domain.audit import (
    archiving,
    clocks,
    erasure,
    exports,
    exposure,
    exposure_forms,
    log_status,
    months,
    verifying,
)
from server.domain.audit.archiving import Archived
from server.domain.audit.exports import Format
from server.domain.audit.log_status import Status
from server.domain.audit.month import Month
from server.domain.audit.verifying import Verified
from server.domain.audit.witnessing import Seen
from server.domain.callers import Caller
from server.domain.delivery import reconciliation, statistics
from server.domain.delivery.reconciliation import Summary
from server.log.anchors import BehindAnchor
from server.storage import keys
from server.storage.targets import writing_to


class MonthOfLog(click.ParamType[Month]):
    """A month, such as 2027-01."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Month:
        try:
            return Month.parse(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is not a month: {error}", param, ctx)


MONTH = MonthOfLog()
BECAUSE = click.option("--because", required=True, metavar="TEXT", help="The reason, recorded in the log.")


@click.group()
def log() -> None:
    """Verify, export and maintain the log."""


@log.command()
@click.option(
    "--tables", is_flag=True,
    help="Also compare the live tables with the logs, and list every row that differs.",
)  # fmt: skip
@with_source
@with_json
@click.pass_obj
def verify(instance: Instance, tables: bool, source: OpenSource, as_json: bool) -> None:
    """Verify every log: bytes, tree, heads, anchors, and that each person was allowed to do what they did.

    The records of archived months are read with --months or --from-bucket; else a note says how many were not checked.

    Exit code 0: no faults, 1: faults, each with its row, 4: an older backup was restored. Safe while the server runs.
    """
    with Bars(quiet=as_json) as bars:
        found = verifying.verify(instance.use, bars.set, tables=tables, months=source(instance))
    faults = [(result, fault) for result in found for fault in result.faults]
    new = [fault for result, fault in faults if not result.abandoned]
    behind = [result.behind for result in found if result.behind is not None and not result.abandoned]
    unread, is_wrong = sum(result.unread for result in found), bool(new or behind)
    body = {
        "ok": None if unread and not is_wrong else not is_wrong,
        "logs": [{"origin": result.origin, "size": result.size, "abandoned": result.abandoned} for result in found],
        "faults": [
            {"log": result.origin, "row": fault.row, "sentence": fault.sentence, "known": result.abandoned}
            for result, fault in faults
        ],
        "notes": [note for result in found for note in result.notes],
        "unread": unread,
        "behind_anchor": behind[0] if behind else None,
    }
    show(as_json, body, _told(found, len(new)))
    if behind:
        raise BehindAnchor(behind[0])
    sys.exit(1 if new else 0)


def _told(found: list[Verified], new: int) -> str:
    lines = []
    for result in found:
        mark = "abandoned:" if result.abandoned else "FAULT:"
        lines += [f"{mark} {result.origin}: {fault.row}: {fault.sentence}" for fault in result.faults]
        if result.behind is not None:
            lines.append(f"{mark} {result.origin}: {result.behind}")
    lines += [f"note: {note}" for result in found for note in result.notes]
    is_whole = not any(result.faults or result.behind for result in found)
    verdict = _count(new, "fault") if new else "no faults" if is_whole else "no new faults"
    size, unread = sum(result.size for result in found), sum(result.unread for result in found)
    rest = f" in what was checked; {_count(unread, 'archived record')} not read" if unread else ""
    return "\n".join([*lines, f"Verified {size} sealed entries in {_count(len(found), 'log')}: {verdict}{rest}."])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@log.command()
@click.option(
    "--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="The file to write [standard output]."
)
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl", show_default=True,
    help="JSONL contains the exact data behind each commitment. So does Parquet, for DuckDB, Athena or Spark. CSV is "
         "for spreadsheets.",
)  # fmt: skip
@click.option("--month", type=MONTH, help="Only entries of this month (UTC), such as 2027-01.")
@click.option("--since", type=MOMENT, help="Only entries from this time on, such as 2027-01-31T12:00:00Z.")
@click.option("--until", type=END, help="Only entries before this time, or up to the end of this day (UTC).")
@with_source
@click.pass_obj
def export(
    instance: Instance,
    target: Path | None,
    form: str,
    month: Month | None,
    since: datetime | None,
    until: datetime | None,
    source: OpenSource,
) -> None:
    """Export all sealed entries for an outside auditor: index, salt, record, commitment.

    The file contains personal data and confidential data of every partner. It is created with mode 0600.
    """
    if month is not None:
        if since is not None or until is not None:
            raise click.UsageError("Use either --month, or --since and --until.")
        since, until = month.since, month.until
    if form == "parquet":
        if source(instance) is not None:
            raise click.UsageError("Archived months are Parquet already: omit --months and --from-bucket.")
        _export_parquet(instance, target, since, until)
        return
    with Bars(quiet=target is None) as bars:
        opened = source(instance)
        lines = exports.lines(
            instance.use, cast(Format, form), since, until, lambda *done: bars.set("export", *done), opened
        )
        if target is None:
            sys.stdout.writelines(lines)
            return
        with writing_to(target):
            count = _write_beside(target, lines) - (form == "csv")
    _show_exported(count, since, until, target)


def _export_parquet(instance: Instance, target: Path | None, since: datetime | None, until: datetime | None) -> None:
    if target is None:
        raise click.UsageError("Parquet needs a file: add --to FILE.")
    beside = target.with_name(f"{target.name}.new")
    with writing_to(target):
        beside.unlink(missing_ok=True)  # of a run that was interrupted
        beside.touch(mode=0o600, exist_ok=False)
        try:
            written = months.write(instance.use, beside, since, until)
            beside.rename(target)
        finally:
            beside.unlink(missing_ok=True)
    _show_exported(written.entries, since, until, target)


def _show_exported(count: int, since: datetime | None, until: datetime | None, target: Path) -> None:
    since_and_until = "".join(f" {word} {plain(at)}" for word, at in (("from", since), ("until", until)) if at)
    show(False, {}, f"Exported {count} entries{since_and_until} to {target}.")


def _write_beside(target: Path, lines: Iterable[str]) -> int:
    beside = target.with_name(f"{target.name}.new")
    beside.unlink(missing_ok=True)  # of a run that was interrupted
    count = 0
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            for line in lines:
                stream.write(line)
                count += 1
            stream.flush()
            os.fsync(stream.fileno())
        beside.rename(target)
    finally:
        beside.unlink(missing_ok=True)
    return count


@log.command()
@click.argument("places", nargs=-1, required=True)
@click.option(
    "--log-key", type=READABLE,
    help="JSON file with credentials that can read s3:// places [the publisher's].",
)  # fmt: skip
@click.option(
    "--own", multiple=True, metavar="IDENTITY",
    help="A requester whose reads need no entry, as the access log names it. On AWS, pass each identity of yours: "
         "publisher, findings, uploads, and CloudFront's if it delivers. Repeatable.",
)  # fmt: skip
@with_json
@click.pass_obj
def reconcile(
    instance: Instance, places: tuple[str, ...], log_key: Path | None, own: tuple[str, ...], as_json: bool
) -> None:
    """Compare the store's access logs in PLACES with the log. PLACES: files, folders or s3://bucket/prefix.

    Each line counts once, no matter how often it is read. Exit code 1 if a file could not be read completely.
    """
    credentials = None if log_key is None else keys.read_s3_credentials(log_key)
    with Bars(quiet=as_json, of_bytes=True) as bars:
        summary = reconciliation.reconcile(
            instance.use, places, lambda _, done, total: bars.advance_named("reading", done, total),
            own=own or None, log_credentials=credentials,
        )  # fmt: skip
    show(as_json, vars(summary), _summed_up(summary))
    sys.exit(1 if summary.problems else 0)


def _summed_up(summary: Summary) -> str:
    lines = [
        f"{summary.lines} lines of {summary.logs} logs; {summary.logs_known} more had been read before.",
        f"{summary.matched} new reads of downloads, {summary.bytes_sent} bytes; {summary.unmatched} of no download.",
        f"{summary.own} with our own key, {summary.other} unrelated, {summary.duplicates} already counted.",
        f"{summary.late} too old to count, {summary.unreadable} unreadable.",
    ]
    lines += [f"ALARM: {kind}, {count} new" for kind, count in sorted(summary.alarms.items())]
    lines += [f"Unreadable, for example: {line}" for line in summary.examples[:3]]
    lines += [f"PROBLEM: {problem}" for problem in summary.problems]
    return "\n".join(map(printable, lines))


@log.command()
@with_json
@click.pass_obj
def status(instance: Instance, as_json: bool) -> None:
    """Show the log's size, head, anchors and alarms. Exit code 0 if downloads can be issued, 1 if not."""
    found = log_status.status(instance.use)
    body = {name: plain(value) for name, value in asdict(found).items()}
    body["witnesses"] = [{name: plain(value) for name, value in asdict(one).items()} for one in found.witnesses]
    show(as_json, body | {"can_issue": not found.problems}, "\n".join(_lines(found)))
    sys.exit(1 if found.problems else 0)


def _lines(found: Status) -> list[str]:
    waiting = "none"
    if found.oldest_unsealed_at is not None:
        since = plain(found.oldest_unsealed_at)
        waiting = f"{found.unsealed}, the oldest since {since}, {found.oldest_unsealed_seconds} s"
    anchored = "none yet" if found.anchors_are_kept else "not kept"
    if found.anchored_size is not None:
        anchored = f"at size {found.anchored_size}"
    rows: list[tuple[str, Any]] = [
        ("log", found.origin),
        ("sealed entries", found.size),
        ("newest head", plain(found.sealed_at) or "none"),
        ("unsealed", waiting),
        ("stopped", f"{plain(found.stopped_at)}: {found.stop_reason}" if found.stop_reason is not None else "no"),
        ("last heartbeat", plain(found.beat_at) or "never"),
        ("newest anchor", anchored),
        ("last anchored", plain(found.anchored_at) or ("never" if found.anchors_are_kept else "not kept")),
        ("mirror", _mirrored(found)),
        *(("witness", _witness_words(witness)) for witness in found.witnesses),
        ("alarms", ", ".join(f"{kind} {count}" for kind, count in found.alarms.items()) or "none"),
        ("last reconciled", plain(found.reconciled_at) or "never"),
    ]
    if found.uncounted > statistics.ENTRIES_AT_ONCE:  # fewer than that are counted in seconds
        rows.append(("charts", f"{found.uncounted} entries still to be counted"))
    lines = [f"{name:<16} {value}" for name, value in rows]
    return [*lines, *(f"PROBLEM: {problem}" for problem in found.problems)]


def _mirrored(found: Status) -> str:
    if not found.mirror_is_kept:
        return "not kept"
    behind = found.size - found.mirrored_size
    return f"at size {found.mirrored_size}, {behind} behind; up to date {plain(found.mirrored_at) or 'never'}"


def _witness_words(witness: Seen) -> str:
    last = f"cosigned {witness.size} entries, last on {plain(witness.cosigned_at)}" if witness.cosigned_at else "new"
    fault = "" if witness.fault is None else f"; now {witness.fault}"
    mark = "CONTRADICTS: " if witness.contradicts else "NOT COSIGNING: " if witness.away else ""
    return f"{mark}{witness.name}: {last}{fault}"


@log.command("exposure")
@click.argument("stage")
@click.option("--from", "since", type=MOMENT, required=True, help="The first moment, such as 2027-01-31.")
@click.option("--to", "until", type=END, required=True, help="The end of the period, or its last day (UTC).")
@with_json
@acting
def exposed(instance: Instance, caller: Caller, stage: str, since: datetime, until: datetime, as_json: bool) -> None:
    """Show who could have downloaded STAGE between two dates, on what basis, and who did. Uses the log alone."""
    use = instance.use
    with use.database.reading() as session:
        found = exposure.exposure(session, caller, use.settings.second_person_tier, stage, since, until)
    if as_json:
        click.echo(json.dumps(exposure_forms.as_body(found), ensure_ascii=False))
    else:
        columns = ("who", "could", "since", "until", "clearance", "downloads")
        show_list(False, columns, list(exposure_forms.as_rows(found)))


@log.command()
@BECAUSE
@with_source
@with_json
@acting
def resume(instance: Instance, caller: Caller, because: str, source: OpenSource, as_json: bool) -> None:
    """Resume a stopped log. All of it is verified first. With any fault, it stays stopped.

    The records of archived months are read with --months or --from-bucket; else a note says how many were not.
    """
    with Bars(quiet=as_json) as bars:
        done = verifying.resume(instance.use, caller, because, bars.set, months=source(instance))
    lines = [*(f"note: {note}" for note in done.notes), f"The log {done.origin} has been verified and resumed."]
    show(as_json, {"origin": done.origin, "stopped": False, "notes": done.notes}, "\n".join(lines))


@log.command("acknowledge-clock")
@BECAUSE
@with_json
@acting
def acknowledge_clock(instance: Instance, caller: Caller, because: str, as_json: bool) -> None:
    """Explain entries that are dated ahead of time because a clock was wrong. Correct the clock first.

    Until then, downloads stop and `log verify` reports every later entry; afterwards it shows your explanation.
    """
    seconds = clocks.acknowledge(instance.use, caller, because)
    sentence = f"Recorded in the log: entries are dated up to {seconds} s ahead of time."
    show(as_json, {"seconds_ahead": seconds}, sentence)


@log.command()
@click.argument("month", type=MONTH)
@BECAUSE
@with_json
@acting
def archive(instance: Instance, caller: Caller, month: Month, because: str, as_json: bool) -> None:
    """Remove the records of an old MONTH's downloads, such as 2027-01, from the database. Proofs are still served.

    They are in the month's file in log_months, which is first compared with every entry. A new entry records the file
    and its SHA-256. Without that file the records are lost permanently. If this is interrupted, run it again.
    """
    with Bars(quiet=as_json) as bars:
        done = archiving.archive(instance.use, caller, month, because, lambda *part: bars.set("archive", *part))
    show(as_json, {name: plain(value) for name, value in asdict(done).items()} | {"month": str(month)}, _archived(done))


def _archived(done: Archived) -> str:
    removed = "Nothing was left to remove."
    if done.emptied:
        were = "was" if done.emptied == 1 else "were"
        removed = (
            f"{_count(done.emptied, 'record')} {were} removed from the database; the month has "
            f"{'1 entry' if done.entries == 1 else f'{done.entries} entries'}."
        )
    sentence = f"{done.month} is archived in {done.file}. {removed}"
    return sentence if done.older is None else f"{sentence} Delete {done.older}: it still contains the erased data."


@log.command()
@click.argument("which", metavar="ENTRY-OR-DOWNLOAD")
@BECAUSE
@with_json
@acting
def erase(instance: Instance, caller: Caller, which: str, because: str, as_json: bool) -> None:
    """Erase an entry where the law requires it: record, salt and person. Its place in the tree is kept.

    Name it by its log and its place in it, such as 2027/71, or by the download's ID.

    A new entry records who erased it and why. Earlier backups and exports still contain the erased data.
    """
    erased = erasure.erase(instance.use, caller, which, because)
    sentence = f"Entry {erased.place}, of kind {erased.kind}, has been erased. The erasure is recorded in the log."
    if erased.archived is not None:
        again = f"run `weightgate-server log archive {erased.archived}`, which writes another file"
        sentence += f" The file of the archived {erased.archived} still has its record: {again}."
    show(as_json, {"entry": erased.place, "kind": erased.kind, "archived": erased.archived}, sentence)


COMMANDS = [log]
