"""Exports for auditors: evidence packs, and the check of one."""

import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import click
from sqlalchemy import select

from server.cli.archived_months import OpenSource, with_source
from server.cli.bars import Bars
from server.cli.terminal import END, MOMENT, Instance, acting, show, with_json
from server.domain.audit import evidence_checks, evidence_packs
from server.domain.audit.evidence_packs import DOCUMENT, OPENING, PROOF
from server.domain.callers import Caller
from server.log.entries import Log
from server.log.notes import NotAKey
from server.storage.targets import writing_to

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
DONE, FAILED, NOT_YET = 0, 1, 3  # exit codes
NOT_SEALED = "The log has not sealed the export yet: start the worker, then run `weightgate-server export prove {}`."


@click.group()
def export() -> None:
    """Export evidence for auditors, and verify it."""


@export.command()
@click.option("--framework", type=click.Choice(["gpai", "rand", "soc2"]), required=True, help="Whose controls.")
@click.option("--from", "since", type=MOMENT, required=True, help="The start of the period, such as 2027-01-31.")
@click.option("--to", "until", type=END, required=True, help="The end, or a day that is still in the period (UTC).")
@click.option(
    "--out", "target", type=click.Path(path_type=Path, file_okay=False),
    help="The new folder to write [evidence-FRAMEWORK-FROM].",
)  # fmt: skip
@with_source
@with_json
@acting
def evidence(
    instance: Instance,
    caller: Caller,
    framework: str,
    since: datetime,
    until: datetime,
    target: Path | None,
    source: OpenSource,
    as_json: bool,
) -> None:
    """Write the log entries of a period under the controls of a framework, each proven: JSON and a page.

    The folder contains personal data and confidential data of partners. It is created with mode 0700. The log records
    the export, with the hashes of the files. Exit code 3: the log has not sealed that entry yet.
    """
    folder = target or Path(f"evidence-{framework}-{since:%Y-%m-%d}")
    with writing_to(folder):
        folder.mkdir(mode=0o700, parents=True)
        try:
            with Bars(quiet=as_json) as bars:
                made = evidence_packs.make(
                    instance.use, caller, framework, since, until, lambda *done: bars.set("evidence", *done),
                    source(instance),
                )  # fmt: skip
            _write(folder, made.files)
        except BaseException:
            _remove(folder)
            raise
    count = len(made.document["entries"])
    sentence = f"Exported {count} entries to {folder}."
    body = {"folder": str(folder), "entries": count, "proven": made.is_proven}
    show(as_json, body, sentence if made.is_proven else f"{sentence} {NOT_SEALED.format(folder)}")
    sys.exit(DONE if made.is_proven else NOT_YET)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


def _remove(folder: Path) -> None:
    """What was not finished: the folder is ours, it was made a moment ago."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@export.command()
@click.argument("folder", type=FOLDER)
@with_json
@click.pass_obj
def prove(instance: Instance, folder: Path, as_json: bool) -> None:
    """Add the proof to the evidence in FOLDER, if the log had not sealed the export when it was written."""
    proof = evidence_packs.prove(instance.use, (folder / OPENING).read_bytes(), (folder / DOCUMENT).read_bytes())
    if proof is None:
        show(as_json, {"proven": False}, NOT_SEALED.format(folder))
        sys.exit(NOT_YET)
    with writing_to(folder):
        _write(folder, proof)
    show(as_json, {"proven": True}, f"Wrote {folder / PROOF}.")


@export.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--vkey", "vkeys", multiple=True, metavar="VKEY",
    help="The log's public key, as in /api/v1/keys [of this instance's logs]. Repeatable, for several logs.",
)  # fmt: skip
@with_json
@click.pass_obj
def verify(instance: Instance, folder: Path, vkeys: tuple[str, ...], as_json: bool) -> None:
    """Verify the evidence in FOLDER from its files and the log's public key alone.

    With --vkey, no instance is needed. Exit code 0: no faults, 1: faults, 3: the proof is not there yet.
    """
    try:
        found = evidence_checks.check(folder, vkeys or _own_keys(instance))
    except NotAKey as error:
        raise click.UsageError(f"{error}.") from None
    body = {
        "ok": not found.faults and not found.is_unproven, "entries": found.entries, "erased": found.erased,
        "head_size": found.head_size, "faults": found.faults,
    }  # fmt: skip
    lines = [f"FAULT: {fault}" for fault in found.faults]
    if found.faults:
        verdict = "The evidence is wrong."
    elif found.is_unproven:
        verdict = f"No faults, but {PROOF} is missing: `weightgate-server export prove {folder}` adds it."
    else:
        verdict = (
            f"Verified {found.entries} entries: no faults. The log contains the export, at size {found.head_size}."
        )
    if found.erased:
        verdict += f" The records of {found.erased} were erased: only their places in the log are proven."
    show(as_json, body, "\n".join([*lines, verdict]))
    sys.exit(FAILED if found.faults else NOT_YET if found.is_unproven else DONE)


def _own_keys(instance: Instance) -> tuple[str, ...]:
    with instance.use.database.reading() as session:
        return tuple(session.scalars(select(Log.vkey).order_by(Log.id)))


COMMANDS = [export]
