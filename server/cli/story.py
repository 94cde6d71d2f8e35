"""The demo's story: the staged release of 2019, told chapter by chapter on the real server, its clock moved on between.

Web and the worker's jobs run in this process while the story is told, because they live by its clock; afterwards the
demo goes on in the present, as any other.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from server import app_over, dates
from server.cli.demo import BEGUN
from server.cli.init import store_of
from server.cli.story_acts import Story
from server.cli.story_chapters import CHAPTERS
from server.cli.story_clock import RedatedLog, StoryClock, StoryResources
from server.cli.terminal import console
from server.domain.audit import heartbeat, sealer, verifying
from server.domain.decisions import execution
from server.domain.delivery import log_follower
from server.domain.errors import NotPossible
from server.domain.mail import mails
from server.domain.resources import Resources
from server.settings import Settings

TICK_SECONDS = 0.2


def play(folder: Path, made: Settings, sources: Path, *, fast: bool) -> Story:
    """Tell every chapter, each after Enter was pressed; `fast`: one after the other.

    Raises NotPossible where nobody can press it, and when the log that was written has a fault.
    """
    if not fast and not sys.stdin.isatty():
        raise NotPossible("There is no terminal to press Enter in.", next_step="Add --fast.")
    clock = StoryClock(CHAPTERS[0].at - timedelta(hours=1))
    use = StoryResources(made, clock)
    access_log = RedatedLog(store_of(folder, made).access_log, folder / "story-access.log")
    worker = _Worker(use, access_log, clock)
    story = Story(use, clock, sources, worker.work)
    with _served(use, made):
        for chapter in CHAPTERS:
            if chapter is not CHAPTERS[0] and not fast:
                _wait(made, chapter.at.strftime("%B"), worker)
            clock.go_to(chapter.at)
            console.print(f"\n{dates.day(chapter.at)}: {chapter.title}", markup=False, style="bold")
            if chapter is not CHAPTERS[0]:
                worker.work()  # or the log would look as if nobody had sealed it for months
            chapter.tell(story)
            worker.work()
            _write_begun(folder, story, clock)
    _require_verified(use)
    (folder / BEGUN).unlink()
    access_log.close()
    use.close()
    return story


class _Worker:
    """The worker's jobs that the story needs, each time that something has happened."""

    def __init__(self, use: Resources, access_log: RedatedLog, clock: StoryClock) -> None:
        self._use, self._access_log, self._clock = use, access_log, clock
        self._turn = threading.Lock()  # the narrator and `go_on` take turns

    def work(self) -> None:
        with self._turn:
            heartbeat.beat(self._use)
            sealer.seal(self._use)
            self._access_log.grow(self._clock.ahead)
            log_follower.follow(self._use, self._access_log.path)
            execution.carry_out_due(self._use)
            while mails.send_due(self._use):
                pass

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Work regularly in the background."""
        ended = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(ended,))
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _go_on(self, ended: threading.Event) -> None:
        while not ended.wait(TICK_SECONDS):
            self.work()


@contextmanager
def _served(use: Resources, made: Settings) -> Iterator[None]:
    """Answer requests in threads of this process. Enough for one person who looks at pages; gunicorn comes after."""
    host, _, port = made.listen.rpartition(":")
    server = make_server(host, int(port), app_over(use), threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    """Prints no line for each request: the terminal is the story's."""

    def log(self, type: str, message: str, *args: object) -> None:
        pass


def _wait(made: Settings, until: str, worker: _Worker) -> None:
    with worker.going_on():
        console.print(f"  Look at it: {made.public_url}", markup=False)
        try:
            console.input(f"  Press Enter for {until}. ")
        except EOFError:
            raise KeyboardInterrupt from None


def _write_begun(folder: Path, story: Story, clock: StoryClock) -> None:
    """Let `demo-code` know whose codes to show, and at which time."""
    text = json.dumps({"people": story.people, "ahead_seconds": clock.ahead.total_seconds()})
    path = folder / BEGUN
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def _require_verified(use: Resources) -> None:
    """Verify the log and the live tables, and say so. Raises NotPossible for a fault."""
    found = verifying.verify(use, tables=True)
    if faults := [f"{fault.row}: {fault.sentence}" for result in found for fault in result.faults]:
        raise NotPossible("The story's log does not verify. " + "; ".join(faults))
    size = sum(result.size for result in found)
    console.print(f"\nThe log of these ten months, {size} entries, and the tables verify: no faults.", markup=False)
