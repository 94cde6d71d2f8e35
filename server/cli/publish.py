"""Publish a folder as a checkpoint of a stage."""

import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from server.cli.terminal import Instance, acting, printable, show, with_json
from server.domain.callers import Caller
from server.domain.publish import publishing
from server.domain.publish.publishing import Published

LINE_EVERY_SECONDS = 30


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("stage", metavar="MODEL/STAGE")
@click.option("--note", help="A note on what is new.")
@with_json
@acting
def publish(instance: Instance, caller: Caller, folder: Path, stage: str, note: str | None, as_json: bool) -> None:
    """Check, sign and upload FOLDER, and make it the stage's `main` checkpoint.

    If partners or everyone can have the stage, another person must approve it first (see `proposal`). Nothing is
    visible until publishing is complete. If interrupted, run the same command again to continue.
    """
    with Bars(quiet=as_json) as bars:
        done = publishing.publish(
            instance.use, caller, folder, stage, note=note, progress=bars.advance_named, tell=bars.tell
        )
    body = {
        "stage": done.stage, "id": done.checkpoint_id, "files": done.files, "size_bytes": done.size_bytes,
        "resumed": done.resumed, "left_out": list(done.left_out), "warnings": list(done.warnings),
        "proposal": done.proposal, "state": "published" if done.proposal is None else "proposed",
        "next": done.next_step,
    }  # fmt: skip
    show(as_json, body, _told(done))


def _told(done: Published) -> str:
    what = f"{done.files} files, {done.size_bytes} bytes, as {done.checkpoint_id} of {done.stage}."
    left_out = f" Omitted: {', '.join(done.left_out)}." if done.left_out else ""
    if done.proposal is None:
        return f"Published {what} This is now its `main`.{left_out}"
    return f"Uploaded {what} Nobody can see it yet.{left_out}\n{done.next_step}"


class Bars(Progress):
    """One bar for each thing that is done, made when it begins; without a terminal, a line now and then."""

    def __init__(self, *, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        # In a file or a pipe, bars would only be empty lines around the one that matters.
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        super().__init__(*columns, console=console, disable=quiet or not console.is_terminal)
        self._quiet = quiet
        self._clock = clock
        self._line_due_at = clock() + LINE_EVERY_SECONDS
        self._bars: dict[str, TaskID] = {}

    def tell(self, sentence: str) -> None:
        if not self._quiet:
            self.console.print(printable(sentence), markup=False)

    def advance_named(self, what: str, done_bytes: int, all_bytes: int) -> None:
        if what not in self._bars:
            self._bars[what] = self.add_task(what, total=all_bytes)
        self.update(self._bars[what], advance=done_bytes)
        if self.disable and self._clock() >= self._line_due_at:
            self._line_due_at = self._clock() + LINE_EVERY_SECONDS
            done = self.tasks[self._bars[what]].completed
            self.tell(f"{what}: {done / 1e9:.2f} of {all_bytes / 1e9:.2f} GB, {done / all_bytes:.0%}")


COMMANDS = [publish]
