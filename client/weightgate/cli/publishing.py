"""Publishing a checkpoint, for the lab's publishers."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from weightgate.cli.surroundings import Surroundings, client_of, end, with_server
from weightgate.download import progress
from weightgate.download.progress import bytes_in_words
from weightgate.upload.uploading import JOBS, Published
from weightgate.verdicts import Ended


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("stage", metavar="MODEL/STAGE")
@click.option("--note", metavar="TEXT", help="A note on what is new.")
@click.option("--jobs", type=click.IntRange(1, 64), default=JOBS, show_default=True, help="Parallel transfers.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each event.")
@with_server
@click.pass_context
def publish(
    context: click.Context, /, folder: Path, stage: str, note: str | None, jobs: int, as_json: bool,
    endpoint: str | None, token_file: str | None, ca: str | None,
) -> None:  # fmt: skip
    """Publish the files in FOLDER as a checkpoint of MODEL/STAGE, with a publisher's token.

    The server reads back what arrived, checks and signs it: nothing is visible before. If partners or everyone can have
    the stage, another person must approve it first. Run the same command again to continue after an interruption.
    Exit code 0: published, or waiting for approval, 1: refused or failed, 2: wrong use, 3: cannot tell yet, such as
    without a network.
    """
    around: Surroundings = context.obj
    tell = progress.events(sys.stdout) if as_json else progress.lines(sys.stderr)
    try:
        done = client_of(around, endpoint, token_file, ca).publish(folder, stage, note=note, jobs=jobs, tell=tell)
    except Ended as ended:
        context.exit(end(ended, as_json=as_json))
    if as_json:
        fields: dict[str, Any] = asdict(done)
        result = "done" if done.proposal is None else "proposed"
        click.echo(json.dumps({"event": "end", "result": result, "exit_code": 0, **fields}))
    else:
        click.echo(_told(done))


def _told(done: Published) -> str:
    what = f"{done.files} files, {bytes_in_words(done.size_bytes)}, as {done.checkpoint} of {done.stage}."
    speed = f" {bytes_in_words(done.sent_bytes)} sent, {done.seconds:.1f} s in all."
    left_out = f" Omitted: {', '.join(done.left_out)}." if done.left_out else ""
    if done.proposal is None:
        return f"Published {what} This is now its `main`.{speed}{left_out}"
    return f"Uploaded {what} Nobody can see it yet.{speed}{left_out}\nProposal {done.proposal}: {done.next_step}"
