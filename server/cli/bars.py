"""Bars: how far a long command has come, on a terminal."""

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
