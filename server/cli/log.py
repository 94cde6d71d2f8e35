"""The sealed log: verify, export, reconcile, status, resume, erase."""

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from server.cli.terminal import MOMENT, Instance, acting, plain, printable, show, with_json
from server.domain.audit import erasure, exports, log_status, verifying
from server.domain.audit.exports import Format
from server.domain.audit.log_status import Status
from server.domain.audit.verifying import Verified
from server.domain.callers import Caller
from server.domain.delivery import reconciliation
from server.domain.delivery.reconciliation import Summary
from server.log.anchors import BehindAnchor
from server.storage import keys

BECAUSE = click.option("--because", required=True, metavar="TEXT", help="Why; the log keeps it.")


@click.group()
def log() -> None:
    """Verify, read out and mend the log of downloads and of all that decides on them."""


@log.command()
@with_json
@click.pass_obj
def verify(instance: Instance, as_json: bool) -> None:
    """Compute every log anew: bytes, tree, heads, anchors, and whether each act was allowed by those before it.

    Exit 0: clean, 1: faults, each named with its row, 4: an older backup was restored. Safe beside a running server.
    """
    with Bars(quiet=as_json) as bars:
        found = verifying.verify(instance.use, bars.set)
    faults = [(result, fault) for result in found for fault in result.faults]
    new = [fault for result, fault in faults if not result.abandoned]
    behind = [result.behind for result in found if result.behind is not None and not result.abandoned]
    body = {
        "ok": not new and not behind,
        "logs": [{"origin": result.origin, "size": result.size, "abandoned": result.abandoned} for result in found],
        "faults": [
            {"log": result.origin, "row": fault.row, "sentence": fault.sentence, "known": result.abandoned}
            for result, fault in faults
        ],
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
    counted = f"{sum(result.size for result in found)} sealed entries in {_count(len(found), 'log')}"
    verdict = _count(new, "fault") if new else "no new fault" if lines else "whole"
    return "\n".join([*lines, f"Verified {counted}: {verdict}."])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@log.command()
@click.option("--to", "target", type=click.Path(path_type=Path, dir_okay=False), help="A file [standard output].")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
    help="JSONL holds exactly what opens each commitment; CSV is for reading in a spreadsheet.",
)  # fmt: skip
@click.option("--since", type=MOMENT, help="Only entries from this moment on, 2027-01-31T12:00:00Z.")
@click.option("--until", type=MOMENT, help="Only entries before this moment.")
@click.pass_obj
def export(
    instance: Instance, target: Path | None, form: Format, since: datetime | None, until: datetime | None
) -> None:
    """Write the openings of all sealed entries, for an outside auditor: index, salt, record, commitment.

    It holds personal data, and what no partner may see of another. The file is written beside and renamed, mode 0600.
    """
    with Bars(quiet=target is None) as bars:
        lines = exports.lines(instance.use, form, since, until, lambda *done: bars.set("export", *done))
        if target is None:
            sys.stdout.writelines(lines)
            return
        count = _write_beside(target, lines) - (form == "csv")
    show(False, {}, f"Exported {count} entries to {target}.")


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
    "--log-key", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON with credentials that may read s3:// places; the publisher's when left out.",
)  # fmt: skip
@click.option(
    "--own", multiple=True, metavar="IDENTITY",
    help="Whose reads need no download, as the log names them: on AWS the ARN of the publisher. May be repeated.",
)  # fmt: skip
@with_json
@click.pass_obj
def reconcile(
    instance: Instance, places: tuple[str, ...], log_key: Path | None, own: tuple[str, ...], as_json: bool
) -> None:
    """Hold the store's access logs in PLACES against the log: files, folders, s3://bucket/prefix.

    Lines count once, however often they are read. Exit 1 when some could not be read to their end.
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
        f"{summary.lines} lines of {summary.logs} logs; {summary.logs_known} more were read before.",
        f"{summary.matched} new reads under a download, {summary.bytes_sent} bytes; {summary.unmatched} under none.",
        f"{summary.own} with our own key, {summary.other} about something else, {summary.duplicates} known already.",
        f"{summary.late} too old to count, {summary.unreadable} not readable.",
    ]
    lines += [f"ALARM: {kind}, {count} new" for kind, count in sorted(summary.alarms.items())]
    lines += [f"Not readable, for example: {line}" for line in summary.examples[:3]]
    lines += [f"PROBLEM: {problem}" for problem in summary.problems]
    return "\n".join(map(printable, lines))


@log.command()
@with_json
@click.pass_obj
def status(instance: Instance, as_json: bool) -> None:
    """Show the log's size, head, anchor and alarms. Exit 0 when downloads can be issued, 1 when not."""
    found = log_status.status(instance.use)
    body = {name: plain(value) for name, value in asdict(found).items()}
    show(as_json, body | {"can_issue": not found.problems}, "\n".join(_lines(found)))
    sys.exit(1 if found.problems else 0)


def _lines(found: Status) -> list[str]:
    waiting = "none"
    if found.oldest_unsealed_at is not None:
        waiting = f"since {plain(found.oldest_unsealed_at)}, {found.oldest_unsealed_seconds} s"
    anchored = "none yet" if found.anchors_are_kept else "none are kept"
    if found.anchored_size is not None:
        anchored = f"at size {found.anchored_size}"
    rows: list[tuple[str, Any]] = [
        ("log", found.origin),
        ("sealed entries", found.size),
        ("newest head", plain(found.sealed_at) or "none"),
        ("unsealed", waiting),
        ("stopped", f"{plain(found.stopped_at)}: {found.stop_reason}" if found.stop_reason is not None else "no"),
        ("newest anchor", anchored),
        ("alarms", ", ".join(f"{kind} {count}" for kind, count in found.alarms.items()) or "none"),
        ("last reconciled", plain(found.reconciled_at) or "never"),
    ]
    lines = [f"{name:<16} {value}" for name, value in rows]
    return [*lines, *(f"PROBLEM: {problem}" for problem in found.problems)]


@log.command()
@BECAUSE
@acting
def resume(instance: Instance, caller: Caller, because: str) -> None:
    """Let a stopped log go on. First all of it is verified: with any fault it stays stopped."""
    with Bars(quiet=False) as bars:
        origin = verifying.resume(instance.use, caller, because, bars.set)
    show(False, {}, f"The log {origin} verifies, and goes on.")


@log.command()
@click.argument("which", metavar="ENTRY-OR-DOWNLOAD-ID")
@BECAUSE
@acting
def erase(instance: Instance, caller: Caller, which: str, because: str) -> None:
    """Empty an entry where the law demands it: record, salt and person. Its place in the tree stays.

    An entry tells who did it and why. Backups and exports made before still hold what was erased.
    """
    erased = erasure.erase(instance.use, caller, which, because)
    show(False, {}, f"Entry {erased.entry_id}, of kind {erased.kind}, is erased, and the log says so.")


class Bars(Progress):
    """One bar for each thing that is done, made when it begins."""

    def __init__(self, *, quiet: bool, of_bytes: bool = False) -> None:
        counted = DownloadColumn() if of_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), counted, TimeRemainingColumn())
        terminal = Console(stderr=True)
        # In a file or a pipe, bars would only be empty lines around the one that matters.
        super().__init__(*columns, console=terminal, disable=quiet or not terminal.is_terminal)
        self._bars: dict[str, TaskID] = {}

    def set(self, what: str, done: int, total: int) -> None:
        self.update(self._bar(what, total), completed=done, total=total)

    def advance_named(self, what: str, done: int, total: int) -> None:
        self.update(self._bar(what, total), advance=done)

    def _bar(self, what: str, total: int) -> TaskID:
        if what not in self._bars:
            self._bars[what] = self.add_task(what, total=total or None)
        return self._bars[what]


COMMANDS = [log]
