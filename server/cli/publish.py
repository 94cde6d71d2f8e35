"""Publish a folder as a checkpoint of a stage."""

from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from server.cli.terminal import Instance, acting, show, with_json
from server.domain.callers import Caller
from server.domain.publish import publishing


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("stage", metavar="MODEL/STAGE")
@click.option("--note", help="A note on what is new.")
@with_json
@acting
def publish(instance: Instance, caller: Caller, folder: Path, stage: str, note: str | None, as_json: bool) -> None:
    """Check, sign and upload FOLDER, and make it the stage's `main` checkpoint.

    Nothing is visible until publishing is complete. If interrupted, run the same command again to continue.
    """
    with _Bars(quiet=as_json) as bars:
        done = publishing.publish(instance.use, caller, folder, stage, note=note, progress=bars.advance_named)
    body = {"stage": done.stage, "id": done.checkpoint_id, "files": done.files, "size_bytes": done.size_bytes}
    show(
        as_json,
        body | {"resumed": done.resumed},
        f"Published {done.files} files, {done.size_bytes} bytes, as {done.checkpoint_id} of {done.stage}.",
    )


class _Bars(Progress):
    """One bar for each thing that is done, made when it begins."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        # In a file or a pipe, bars would only be empty lines around the one that matters.
        super().__init__(*columns, console=console, disable=quiet or not console.is_terminal)
        self._bars: dict[str, TaskID] = {}

    def advance_named(self, what: str, done_bytes: int, all_bytes: int) -> None:
        if what not in self._bars:
            self._bars[what] = self.add_task(what, total=all_bytes)
        self.update(self._bars[what], advance=done_bytes)


COMMANDS = [publish]
