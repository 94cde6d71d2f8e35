"""Downloading a checkpoint, or some files of it: what is missing is found, ordered, received, and only then named."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weightgate.download import checking
from weightgate.download.finishing import Finishing
from weightgate.download.folder import Folder
from weightgate.download.manifest import Chunk, File, Manifest
from weightgate.download.older import Older
from weightgate.download.partial import PartialFile
from weightgate.download.patience import Patience
from weightgate.download.progress import Progress
from weightgate.download.rebuilding import Rebuilding
from weightgate.download.receiving import Receiver
from weightgate.download.sharing import share
from weightgate.download.tensors import SUFFIX
from weightgate.download.urls import Urls
from weightgate.http import Server
from weightgate.verdicts import Refuted, WrongUse

JOBS, JOBS_OF_SMALL = 8, 16  # small files wait longer, for the store and then for the disk, than they take to arrive
_SMALL_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Order:
    """What to download. older: a folder with another checkpoint. replace: files that lie there and are other ones.

    jobs: how many transfers run in parallel; None: as many as suit what is missing.
    """

    stage: str
    files: Sequence[File]
    signed: Manifest
    to: Folder
    older: Folder | None
    jobs: int | None
    replace: bool


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What is there now. fetched_bytes: from the store; copied_bytes: from the older folder; receipts: paths."""

    stage: str
    checkpoint: str
    folder: str
    files: int
    size_bytes: int
    fetched_bytes: int
    copied_bytes: int
    seconds: float
    receipts: list[str]


@dataclass(slots=True)
class _Arriving:
    """A file that is not whole yet. hash_whole: its chunks alone do not prove it."""

    file: File
    partial: PartialFile
    missing: list[Chunk]
    hash_whole: bool
    lock: threading.Lock = field(default_factory=threading.Lock)


class Download:
    """One run. Everything that it keeps between its steps lies on disk, so any other run can go on from there."""

    def __init__(self, server: Server, order: Order, progress: Progress, patience: Patience) -> None:
        self._server, self._order, self._progress, self._patience = server, order, progress, patience
        self._urls = Urls(server, order.to, patience)
        self._copied_bytes = 0
        self._jobs = JOBS
        self._lock = threading.Lock()
        folders = [*([order.older] if order.older else []), *([order.to] if order.replace else [])]
        self._older = Older(folders) if folders else None

    def run(self) -> Downloaded:
        """Raises an Ended; what was verified by then stays, and the next run goes on from there."""
        order = self._order
        arriving = self._arriving()
        self._jobs = order.jobs or _jobs(arriving)
        missing_bytes = sum(chunk.size_bytes for one in arriving for chunk in one.missing)
        order.to.require_room(missing_bytes)
        self._progress.begin(
            stage=order.stage, checkpoint=order.signed.checkpoint_id, files=len(order.files), bytes=missing_bytes
        )
        try:
            with Finishing(self._patience, self._finish) as finishing:
                self._copy(arriving, finishing)
                self._receive(arriving, finishing)
        finally:
            for one in arriving:
                one.partial.close()
        order.to.clear_partial()
        return Downloaded(
            order.stage, order.signed.checkpoint_id, os.fspath(order.to.path), len(order.files),
            sum(file.size_bytes for file in order.files), self._progress.fetched_bytes, self._copied_bytes,
            round(self._progress.seconds, 3), self._urls.receipts,
        )  # fmt: skip

    def _arriving(self) -> list[_Arriving]:
        """The files that are not there yet, each with the chunks that an earlier run did not leave. Raises WrongUse."""
        there, absent = list[tuple[File, Path]](), list[tuple[File, Path]]()
        for file in self._order.files:
            target = self._order.to.file(file.path)
            is_there = checking.size_of(target) is not None
            (there if is_there else absent).append((file, target if is_there else self._order.to.partial(file.path)))
        different = self._different(there)
        if different and not self._order.replace:
            raise WrongUse(
                "other_file",
                f"{self._order.to.file(different[0].path)} is not the published file. Nothing was changed.",
                "Move it away, choose another folder with --to, or overwrite it with --replace.",
            )
        begun = [(file, partial) for file, partial in absent if checking.size_of(partial) is not None]
        left = {file.path: list(file.chunks) for file in (*(file for file, _ in absent), *different)}
        left |= checking.missing(begun, self._patience)
        return [self._begun(file, left[file.path]) for file in self._order.files if file.path in left]

    def _different(self, there: Sequence[tuple[File, Path]]) -> list[File]:
        left = checking.missing(there, self._patience)
        return [
            file
            for file, path in there
            if left[file.path]
            or checking.size_of(path) != file.size_bytes
            or (not self._order.signed.bound and not checking.is_whole(file, path))
        ]

    def _begun(self, file: File, chunks: list[Chunk]) -> _Arriving:
        partial = PartialFile(self._order.to.partial(file.path), file.size_bytes)
        return _Arriving(file, partial, chunks, hash_whole=not self._order.signed.bound)

    def _copy(self, arriving: Sequence[_Arriving], finishing: Finishing[_Arriving]) -> None:
        """Take from this disk what lies there as it is; and finish what is whole by that, or was before."""

        def copy(buffer: memoryview, item: tuple[_Arriving, Chunk]) -> None:
            if self._older is not None and self._older.copy(item[0].file, item[1], item[0].partial, buffer):
                self._copied(item[0], item[1].size_bytes)
                self._arrived(*item)

        if self._older is not None:
            share(_missing(arriving), self._jobs, self._patience, checking.block, copy)
        for one in arriving:
            if not one.missing:
                finishing.add(one)

    def _receive(self, arriving: Sequence[_Arriving], finishing: Finishing[_Arriving]) -> None:
        wanted = [one for one in arriving if one.missing]
        if not wanted:
            return
        self._urls.issue(self._order.stage, self._order.signed.checkpoint_id, [one.file for one in wanted])

        rebuilding = self._rebuilding(wanted)

        def receive(receiver: Receiver, item: tuple[_Arriving, Chunk]) -> None:
            one, chunk = item
            if rebuilding is None:
                receiver.receive(one.file, chunk, one.partial)
            elif copied_bytes := rebuilding.receive(receiver, one.file, chunk, one.partial):
                self._copied(one, copied_bytes)
            if self._arrived(one, chunk):
                self._urls.drop(one.file)
                if len(one.file.chunks) == 1:
                    self._finish(one)  # small, as a rule: handing it over costs more than waiting for the disk
                else:
                    finishing.add(one)

        share(_missing(wanted), self._jobs, self._patience, self._hired, receive)

    def _rebuilding(self, wanted: Sequence[_Arriving]) -> Rebuilding | None:
        """Find out which tensors of these files this disk may have, if it has any."""
        if self._older is None or not self._older.has_tensors:
            return None
        found, files = Rebuilding(self._older), [one for one in wanted if one.file.path.endswith(SUFFIX)]
        share((one.file for one in files), self._jobs, self._patience, self._hired, found.look)
        tensors = [(one.file, tensor) for one in files for tensor in found.large(one.file, one.missing)]
        share(iter(tensors), self._jobs, self._patience, self._hired, lambda hand, it: found.compare(hand, *it))
        return found

    def _hired(self) -> Receiver:
        return Receiver(self._urls, self._progress, self._patience, self._server.ca)

    def _copied(self, one: _Arriving, size_bytes: int) -> None:
        """So much of a file came from this disk."""
        one.hash_whole = True
        with self._lock:
            self._copied_bytes += size_bytes
        self._progress.add(size_bytes, fetched=False)

    def _arrived(self, one: _Arriving, chunk: Chunk) -> bool:
        with one.lock:
            one.missing.remove(chunk)
            return not one.missing

    def _finish(self, one: _Arriving) -> None:
        """Every chunk is what was signed: the file gets its name."""
        if one.hash_whole and not checking.is_whole(one.file, one.partial.whole()):
            one.partial.path.unlink()
            raise Refuted(
                "wrong_content", f"{one.file.path} is not what the lab signed. It was not kept.", "Tell the lab."
            )
        one.partial.finish(self._order.to.file(one.file.path))
        self._progress.file(one.file.path, one.file.size_bytes)


def _jobs(arriving: Sequence[_Arriving]) -> int:
    sizes_bytes = [chunk.size_bytes for _, chunk in _missing(arriving)]
    return JOBS_OF_SMALL if sum(sizes_bytes) < len(sizes_bytes) * _SMALL_BYTES else JOBS


def _missing(arriving: Sequence[_Arriving]) -> Iterator[tuple[_Arriving, Chunk]]:
    return iter([(one, chunk) for one in arriving for chunk in one.missing])
