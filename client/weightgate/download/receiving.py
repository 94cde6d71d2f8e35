"""Receiving: one chunk after another from the store, hashed while it arrives, on a connection of one thread's own."""

import hashlib
import http.client
import mmap
import re
import time
from types import TracebackType

from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import BLOCK_BYTES, PartialFile
from weightgate.download.patience import Patience
from weightgate.download.progress import Progress
from weightgate.download.urls import Urls
from weightgate.http import LOST, Kept, reason
from weightgate.verdicts import CannotTell, Refuted

TIMEOUT_SECONDS = 30.0
# What is read together, and hashed while it is in the processor's cache: as much as arrives in a moment.
_LEAST_PIECE_BYTES, _FIRST_PIECE_BYTES, _LARGEST_PIECE_BYTES = 64 * 1024, 256 * 1024, 1024 * 1024
_MOMENT_SECONDS = 0.1
_TRIES = 3  # of a chunk whose hash is wrong
_FRESH_TRIES = 5  # of URLs that are refused one after the other
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


class _Expired(Exception):
    """The store refuses the URL."""


class _Busy(Exception):
    """The store cannot answer now. The text says why."""


class Receiver:
    """One thread's connection and buffer, both used again for every chunk."""

    def __init__(self, urls: Urls, progress: Progress, patience: Patience, ca: str | None) -> None:
        self._urls, self._progress, self._patience = urls, progress, patience
        self._buffer = memoryview(mmap.mmap(-1, BLOCK_BYTES))  # on a page of its own, as O_DIRECT wants it
        self._piece_bytes = _FIRST_PIECE_BYTES
        self._connection = Kept(ca, TIMEOUT_SECONDS)

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.hang_up()

    @property
    def buffer(self) -> memoryview:
        """The block, for whoever else in this thread needs one."""
        return self._buffer

    def receive(self, file: File, chunk: Chunk, partial: PartialFile) -> None:
        """Fetch one chunk into its place. Raises Refuted when it is never the right one, or what else ends it."""
        for _ in range(_TRIES):
            digest = hashlib.sha256()
            self._fetch(file, chunk, partial, digest)
            if digest.hexdigest() == chunk.sha256:
                return
            self.lost(file, chunk)
        raise Refuted(
            "wrong_content",
            f"What the store gives for {file.path}, bytes {chunk.begin} to {chunk.end}, is not what the lab signed.",
            "The file was not kept. Tell the lab.",
        )

    def lost(self, file: File, chunk: Chunk) -> None:
        """What arrived is not the chunk."""
        self._progress.lost(chunk.size_bytes, f"{file.path}: bytes {chunk.begin} to {chunk.end} arrived damaged")
        self._connection.hang_up()

    def fetch(self, file: File, begin: int, end: int, partial: PartialFile) -> None:
        """Fetch a part of a chunk into its place; whoever asked for it checks the chunk. Raises as `receive`."""
        self._fetch(file, Chunk(begin, end, ""), partial, hashlib.sha256())

    def peek(self, file: File, begin: int, end: int) -> bytes:
        """Fetch a few bytes that nothing proves; fewer, or none, where the store does not give them at once."""
        try:
            content = self._open(self._urls.of(file), begin, end, file).read()
        except (_Expired, _Busy, CannotTell, *LOST):
            self._connection.hang_up()
            return b""
        self._progress.peeked(len(content))
        return content

    def _fetch(self, file: File, chunk: Chunk, partial: PartialFile, digest: "hashlib._Hash") -> None:
        position, attempt, refusals = chunk.begin, 0, 0
        while position < chunk.end:
            self._patience.require()
            url, before, lost = self._urls.of(file), position, "the connection to the store broke"
            try:
                response = self._open(url, position, chunk.end, file)
                position = self._take(response, position, chunk.end, partial, digest)
            except _Expired:
                self._connection.hang_up()
                refusals += 1
                self._renew(file, url, refusals)
                continue
            except _Busy as busy:
                lost = str(busy)
            except LOST as error:
                lost = f"the store: {reason(error)}"
            if position > before:
                attempt = refusals = 0
            if position < chunk.end:
                self._connection.hang_up()
                self._patience.wait(attempt, lost)
                attempt += 1

    def _renew(self, file: File, url: str, refusals: int) -> None:
        if refusals > _FRESH_TRIES:
            raise CannotTell(
                "store_refuses",
                "The store refuses URLs that the server has just issued.",
                "Ask the lab whether the stage was just closed; check this machine's clock and network.",
            )
        self._urls.renew(file, url, self._progress.done_bytes)

    def _take(
        self, response: http.client.HTTPResponse, position: int, end: int, partial: PartialFile, digest: "hashlib._Hash"
    ) -> int:
        """Read a body into its place; return how far it came, whatever ended it."""
        broken = False
        while position < end and not broken:
            # To the next boundary of a block, so that every write but the last is aligned.
            wanted, filled = min(BLOCK_BYTES - position % BLOCK_BYTES, end - position), 0
            while filled < wanted and not broken:
                self._patience.require()
                try:
                    count = self._piece(response, filled, wanted)
                except LOST:
                    count = 0
                broken = count == 0
                digest.update(self._buffer[filled : filled + count])
                filled += count
                self._progress.add(count)
                if count:
                    self._patience.heard()
            if filled:
                partial.write(self._buffer[:filled], position)
            position += filled
        return position

    def _piece(self, response: http.client.HTTPResponse, filled: int, wanted: int) -> int:
        """Read on into the buffer; return how many bytes. Small pieces on a slow line, so that it can tell and stop."""
        began = time.monotonic()
        count = response.readinto(self._buffer[filled : min(filled + self._piece_bytes, wanted)])
        next_bytes = self._piece_bytes * 2 if time.monotonic() - began < _MOMENT_SECONDS else self._piece_bytes // 2
        self._piece_bytes = min(max(next_bytes, _LEAST_PIECE_BYTES), _LARGEST_PIECE_BYTES)
        return count

    def _open(self, url: str, begin: int, end: int, file: File) -> http.client.HTTPResponse:
        """Ask for a range, and look at what is said of it before a byte of it is taken."""
        response = self._connection.ask("GET", url, {"Range": f"bytes={begin}-{end - 1}"})
        if response.status in {401, 403}:
            raise _Expired
        if response.status == 429 or response.status >= 500:
            raise _Busy(f"the store cannot answer now (HTTP {response.status})")
        if response.status == 206:
            told = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if told is None or (int(told[1]), int(told[2]), int(told[3])) != (begin, end - 1, file.size_bytes):
                raise _wrong_size(file, told[3] if told else "an unknown number of")
        elif response.status != 200 or (begin, end) != (0, file.size_bytes) or response.length != file.size_bytes:
            raise _unexpected(file, response)
        return response


def _wrong_size(file: File, told: str) -> Refuted:
    return Refuted(
        "wrong_size",
        f"The store has {told} bytes of {file.path}; the manifest says {file.size_bytes}.",
        "Tell the lab.",
    )


def _unexpected(file: File, response: http.client.HTTPResponse) -> CannotTell | Refuted:
    """What an answer means that is neither the bytes nor a refusal."""
    if response.headers.get_content_type() == "text/html":
        return CannotTell(
            "web_page",
            f"A web page came back (HTTP {response.status}) where {file.path} was expected. It was not saved.",
            "If this network asks for a sign-in, open a browser and sign in; then run the same command again.",
        )
    if response.status == 200:
        return _wrong_size(file, str(response.length) if response.length is not None else "an unknown number of")
    return CannotTell(
        "store_refuses", f"The store does not give {file.path} (HTTP {response.status}).", "Try again, or tell the lab."
    )
