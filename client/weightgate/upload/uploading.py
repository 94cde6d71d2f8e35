"""Publishing a folder: hash it, announce it, send what has not arrived, and wait for what becomes of it."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weightgate import asking
from weightgate.asking import printable
from weightgate.download.patience import Patience
from weightgate.download.progress import Event, Progress
from weightgate.download.sharing import share
from weightgate.http import Server
from weightgate.upload import source
from weightgate.upload.part_urls import PATH, Part, PartUrls, ask
from weightgate.upload.sending import Sender
from weightgate.upload.source import SourceFile
from weightgate.verdicts import CannotTell, Refused

JOBS = 8
_ROUNDS = 3  # of sending what the server says has not arrived
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_UNTOUCHED_FOR_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Published:
    """What has become visible, or waits: then proposal and next_step say by what, and for whom.

    sent_bytes: to the store, by this run. left_out: paths in the folder that are never published.
    """

    stage: str
    checkpoint: str
    files: int
    size_bytes: int
    sent_bytes: int
    seconds: float
    left_out: list[str]
    warnings: list[str]
    proposal: int | None
    next_step: str | None


class Upload:
    """One run. It keeps nothing: the server knows what has arrived, so any other run can go on from there."""

    def __init__(self, server: Server, jobs: int, tell: Event, patience: Patience) -> None:
        self._server, self._jobs, self._tell, self._patience = server, jobs, tell, patience
        self._sent_bytes = 0

    def run(self, folder: Path, stage: str, note: str | None) -> Published:
        """Raises an Ended. Whatever has arrived by then stays for a day, and the next run goes on from there."""
        began = Progress()
        files, left_out = source.walk(folder)
        self._hash(files)
        listed = [{"path": file.path, "size_bytes": file.size_bytes, "sha256": file.sha256} for file in files]
        told = asking.post(self._server, PATH, {"stage": stage, "files": listed, "note": note})
        warnings = [printable(text) for text in told.get("warnings", [])]
        for text in warnings:
            self._tell({"event": "warning", "text": text})
        done = self._finished(told, files)
        return Published(
            printable(done.get("stage")), str(done.get("checkpoint")), len(files), _bytes_of(files), self._sent_bytes,
            round(began.seconds, 3), left_out, warnings, done.get("proposal"), done.get("next_step"),
        )  # fmt: skip

    def _hash(self, files: Sequence[SourceFile]) -> None:
        progress = self._phase("hash", files)

        def work(_: None, file: SourceFile) -> None:
            file.hash(lambda count: progress.add(count, fetched=False))

        share(files, min(self._jobs, os.cpu_count() or 1), self._patience, nullcontext, work)

    def _finished(self, told: dict[str, Any], files: Sequence[SourceFile]) -> dict[str, Any]:
        """Send and complete until it is published, proposed or refused."""
        try:
            number, state = int(told["id"]), str(told["state"])
            part_bytes = {str(one["path"]): int(one["part_bytes"]) for one in told["files"]}
        except (KeyError, TypeError, ValueError):
            raise CannotTell("malformed_answer", "The server's answer is no upload.", "Check --endpoint.") from None
        for _ in range(_ROUNDS):
            if state == "open":
                self._send(number, files, part_bytes)
                ask(self._server, f"{PATH}/{number}/complete", {}, self._patience)
            told = self._settled(number, _bytes_of(files))
            if (state := str(told.get("state"))) != "open":
                break
        if state in {"published", "proposed"}:
            return told
        refusal = told.get("refusal") or {}
        raise Refused(
            printable(refusal.get("code", "refused")),
            _sentences(refusal.get("detail", "The server gave no reason.")),
            printable(told.get("next_step") or Refused.next_step),
        )

    def _send(self, number: int, files: Sequence[SourceFile], part_bytes: Mapping[str, int]) -> None:
        parts = list[Part]()
        for file in files:
            file.hash_in_parts_of(part_bytes.get(file.path, file.part_bytes))
            parts += [Part(len(parts) + at, file, at + 1) for at in range(len(file.part_sha256s))]
        progress = self._phase("send", files)
        urls = PartUrls(self._server, number, parts, self._jobs, self._patience, progress)

        def hired() -> Sender:
            return Sender(urls, progress, self._patience, self._server.ca)

        try:
            share(parts, self._jobs, self._patience, hired, Sender.send)
        finally:
            self._sent_bytes += progress.fetched_bytes

    def _settled(self, number: int, size_bytes: int) -> dict[str, Any]:
        """Wait while the server checks it: it does so without us, too."""
        progress = Progress(self._tell)
        progress.begin(phase="check", files=0, bytes=size_bytes)
        pause, is_told = _FIRST_PAUSE_SECONDS, False
        while True:
            told = ask(self._server, f"{PATH}/{number}", None, self._patience)
            if told.get("state") != "checking":
                return told
            progress.add(int(told.get("checked_bytes") or 0) - progress.done_bytes, fetched=False)
            if not is_told and not progress.done_bytes and progress.seconds > _UNTOUCHED_FOR_SECONDS:
                is_told = True
                text = "The server has not begun to check it. It will do so without this command, which you can stop."
                self._tell({"event": "warning", "text": text})
            self._patience.pause(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE_SECONDS)

    def _phase(self, name: str, files: Sequence[SourceFile]) -> Progress:
        progress = Progress(self._tell)
        progress.begin(phase=name, files=len(files), bytes=_bytes_of(files))
        return progress


def _bytes_of(files: Sequence[SourceFile]) -> int:
    return sum(file.size_bytes for file in files)


def _sentences(detail: object) -> str:
    """A refusal of many files has a line for each."""
    return "; ".join(printable(line) for line in str(detail).splitlines())
