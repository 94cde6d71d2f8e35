"""Downloading, and checking afterwards what was downloaded."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from weightgate.cli import completion
from weightgate.cli.surroundings import Surroundings, client_of, end, with_server
from weightgate.client import MAIN, Client
from weightgate.download import progress
from weightgate.download.downloading import Downloaded
from weightgate.download.progress import bytes_in_words
from weightgate.verdicts import Ended

_OTHERS_NAMED_AT_MOST = 5


@click.command()
@click.argument("stage", metavar="STAGE", shell_complete=completion.stages)
@click.argument("paths", nargs=-1)
@click.option("--checkpoint", metavar="ID", default=MAIN, help="Which checkpoint [main: the newest].")
@click.option("--to", metavar="FOLDER", type=click.Path(path_type=Path), help="The folder for the files [./STAGE].")
@click.option(
    "--from", "older", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with another checkpoint: parts that are the same are copied from there.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 64), help="Parallel transfers [8, or 16 for small files].")
@click.option("--replace", is_flag=True, help="Overwrite files in FOLDER that are not the published ones.")
@click.option("--manifest-key", metavar="FILE", type=click.Path(), help="The lab's key, if it gave it to you.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each event.")
@with_server
@click.pass_context
def download(
    context: click.Context, /, stage: str, paths: tuple[str, ...], as_json: bool, endpoint: str | None,
    token_file: str | None, ca: str | None, **how: Any,
) -> None:  # fmt: skip
    """Download the files of STAGE, such as gpt-2/774M, or only PATHS of it, and verify them.

    Each part is checked against the signed manifest while it arrives. A file gets its name only when all of it is what
    the lab signed. Run the same command again to continue after an interruption. Exit code 0: all there and verified,
    1: refused, failed or refuted, 2: wrong use, 3: cannot tell yet, such as without a network.
    """
    around: Surroundings = context.obj
    tell = progress.events(sys.stdout) if as_json else progress.lines(sys.stderr)
    try:
        done = client_of(around, endpoint, token_file, ca).download(stage, paths, tell=tell, **how)
    except Ended as ended:
        context.exit(end(ended, as_json=as_json))
    if as_json:
        click.echo(json.dumps({"event": "end", "result": "done", "exit_code": 0, **asdict(done)}))
    else:
        click.echo(_in_a_line(done))


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--manifest-key", metavar="FILE", type=click.Path(), help="The lab's key, if it gave it to you.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def verify(context: click.Context, folder: Path, manifest_key: str | None, as_json: bool) -> None:
    """Check that the files in FOLDER are still what the lab signed. Needs no network.

    Exit code 0: proven, 1: refuted, 2: wrong use, 3: cannot tell: no manifest, no known key, or not all downloaded.
    """
    around: Surroundings = context.obj
    try:
        found = Client(environment=around.environment, clock=around.clock).verify(folder, manifest_key=manifest_key)
    except Ended as ended:
        context.exit(end(ended, as_json=as_json))
    if as_json:
        click.echo(json.dumps({"event": "end", "result": "proven", "exit_code": 0, **asdict(found)}))
        return
    click.echo(
        f"proven: {_files(found.files)} of {found.stage}, {bytes_in_words(found.size_bytes)}, of the checkpoint "
        f"{found.checkpoint}, as the lab signed it."
    )
    if found.others:
        named = ", ".join(found.others[:_OTHERS_NAMED_AT_MOST])
        click.echo(f"Not in the manifest, so not checked: {len(found.others)} other files ({named}).", err=True)


def _in_a_line(done: Downloaded) -> str:
    said = (
        f"done: {done.stage}, checkpoint {done.checkpoint[:12]}…: {done.files} files, {bytes_in_words(done.size_bytes)}"
    )
    said += f", verified in {done.folder}"
    if done.copied_bytes:
        said += f"; {bytes_in_words(done.copied_bytes)} copied from this disk"
    if not done.fetched_bytes:
        return f"{said}; nothing had to be fetched."
    speed = bytes_in_words(done.fetched_bytes / max(done.seconds, 0.001))
    return f"{said}; {bytes_in_words(done.fetched_bytes)} fetched in {done.seconds:.1f} s, {speed}/s."


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
