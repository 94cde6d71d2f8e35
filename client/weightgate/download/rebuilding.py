"""Rebuilding chunks from tensors of older files, where only some of a chunk's tensors have other values, or all moved.

Which those are, nobody signs. So it is guessed: a tensor whose first bytes are the same is taken from this disk, others
are fetched, and the chunk's own signed hash decides. After a wrong guess the rest of the chunk is fetched as well: in
all no more than the chunk, and the first bytes.
"""

from collections.abc import Iterable, Iterator

from weightgate.download.manifest import Chunk, File
from weightgate.download.older import Older, Piece, written
from weightgate.download.partial import PartialFile, has_chunk
from weightgate.download.receiving import Receiver
from weightgate.download.tensors import LENGTH_BYTES, Layout, Tensor, head_bytes, layout

_BEGINNING_BYTES = 4096
_LARGE_BYTES = 1024 * 1024  # of tensors whose beginning is looked at; smaller ones are fetched, as cheaply
_WORTH = 0.2  # of a chunk: with less of it on this disk, it is fetched in one piece


class Rebuilding:
    """What is guessed of the files of one download. Used by all threads; filled by `look`, then by `compare`."""

    def __init__(self, older: Older) -> None:
        self._older = older
        self._layouts: dict[str, Layout] = {}
        self._same: set[tuple[str, Tensor]] = set()

    def look(self, receiver: Receiver, file: File) -> None:
        """Fetch the head of a file. One that cannot be fetched or read has no tensors."""
        head = receiver.peek(file, 0, min(LENGTH_BYTES, file.size_bytes))
        if (end := head_bytes(head, file.size_bytes)) > len(head):
            head += receiver.peek(file, len(head), end)
        self._layouts[file.path] = layout(head, file.size_bytes)

    def large(self, file: File, chunks: Iterable[Chunk]) -> list[Tensor]:
        """The large tensors of which a part lies in one of these chunks."""
        spans = [(chunk.begin, chunk.end) for chunk in chunks]
        return [
            one
            for one in self._layouts[file.path].tensors
            if one.end - one.begin >= _LARGE_BYTES and any(one.begin < end and one.end > begin for begin, end in spans)
        ]

    def compare(self, receiver: Receiver, file: File, tensor: Tensor) -> None:
        """Fetch the first bytes of a tensor, and guess."""
        before = self._older.beginning(tensor, _BEGINNING_BYTES)
        if before and receiver.peek(file, tensor.begin, tensor.begin + len(before)) == before:
            self._same.add((file.path, tensor))

    def receive(self, receiver: Receiver, file: File, chunk: Chunk, partial: PartialFile) -> int:
        """Bring one chunk to its place; return how many of its bytes came from this disk. Raises as the receiver."""
        where = self._layouts.get(file.path, Layout())
        pieces = self._older.pieces(where, chunk, {tensor for path, tensor in self._same if path == file.path})
        here = [piece for piece in pieces if piece.source is not None]
        here_bytes = sum(piece.size_bytes for piece in here)
        if here_bytes < _WORTH * chunk.size_bytes:
            receiver.receive(file, chunk, partial)
            return 0
        for run in _runs(here):
            written(run, partial, receiver.buffer)
        _fetch(receiver, [piece for piece in pieces if piece.source is None], file, partial)
        if has_chunk(partial.path, chunk, receiver.buffer):
            return here_bytes
        _fetch(receiver, here, file, partial)
        if not has_chunk(partial.path, chunk, receiver.buffer):
            receiver.lost(file, chunk)
            receiver.receive(file, chunk, partial)
        return 0


def _fetch(receiver: Receiver, pieces: Iterable[Piece], file: File, partial: PartialFile) -> None:
    for run in _runs(pieces):
        receiver.fetch(file, run[0].at, run[-1].at + run[-1].size_bytes, partial)


def _runs(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces that follow each other, together."""
    run = list[Piece]()
    for piece in pieces:
        if run and run[-1].at + run[-1].size_bytes != piece.at:
            yield run
            run = []
        run.append(piece)
    if run:
        yield run
