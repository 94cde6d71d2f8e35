"""Older files: what lies on this disk already, in another checkpoint's folder, need not be fetched.

A chunk is looked for where it lay, and put together from tensors that only moved: one more tensor, or one more digit in
a header, moves all that follow. Nothing here is believed: what is copied is hashed on the way.
"""

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weightgate.download import bundle, checking
from weightgate.download.folder import Folder
from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import PartialFile
from weightgate.download.tensors import LENGTH_BYTES, SUFFIX, Layout, head_bytes, layout
from weightgate.verdicts import Malformed


@dataclass(frozen=True, slots=True)
class _Piece:
    """So many bytes of a file, or of what was fetched before, that may be a part of a chunk."""

    source: Path | bytes
    begin: int
    size_bytes: int

    def open(self) -> io.BytesIO | io.FileIO:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else io.FileIO(self.source)


class Older:
    """Where chunks may lie, and tensors."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders
        self._chunks: dict[str, tuple[Path, int]] = {}
        self._tensors: dict[tuple[str, str], _Piece] = {}
        for folder in folders:
            for chunk, path, begin in _chunks_of(folder):
                self._chunks[chunk] = (folder.file(path), begin)
            for path in folder.others([]):
                if path.endswith(SUFFIX):
                    self._tensors |= _tensors_of(folder.file(path))

    def may_have_moved(self, file: File) -> bool:
        """Whether to look for the file's tensors: in a file of the same size nothing has moved, it has other values."""
        sizes = {checking.size_of(folder.file(file.path)) for folder in self._folders}
        return bool(self._tensors) and file.path.endswith(SUFFIX) and file.size_bytes not in sizes

    def copy(self, file: File, chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
        """Copy one chunk into its place, if it lies somewhere. Raises Failed when this disk does not take it."""
        places = [(folder.file(file.path), chunk.begin) for folder in self._folders]
        if chunk.sha256 in self._chunks:
            places.insert(0, self._chunks[chunk.sha256])
        return any(_copied([_Piece(*place, chunk.size_bytes)], chunk, partial, buffer) for place in places)

    def assemble(self, layout: Layout, chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
        """Put one chunk together from its file's head and from tensors of older files. Raises Failed as `copy`.

        A tensor that grew begins as it was before: a larger vocabulary has its new rows at the end.
        """
        pieces, position = list[_Piece](), chunk.begin
        if position < len(layout.head):
            pieces.append(_Piece(layout.head, position, min(len(layout.head), chunk.end) - position))
            position += pieces[0].size_bytes
        for tensor in layout.tensors:
            if tensor.begin <= position < min(tensor.end, chunk.end):
                older, skipped = self._tensors.get((tensor.name, tensor.dtype)), position - tensor.begin
                wanted = min(tensor.end, chunk.end) - position
                if older is None or older.size_bytes < skipped + wanted:
                    return False
                pieces.append(_Piece(older.source, older.begin + skipped, wanted))
                position += wanted
        return position == chunk.end and _copied(pieces, chunk, partial, buffer)


def _copied(pieces: list[_Piece], chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
    """Write the pieces into the chunk's place, one after the other; say whether they are the chunk."""
    digest, position = hashlib.sha256(), chunk.begin
    try:
        for block in _blocks(pieces, buffer):
            digest.update(block)
            partial.write(block, position)
            position += len(block)
    except OSError:
        return False  # of the older disk: what cannot be read there is fetched
    return position == chunk.end and digest.hexdigest() == chunk.sha256


def _blocks(pieces: list[_Piece], buffer: memoryview) -> Iterator[memoryview]:
    """The bytes of the pieces in full buffers, but for the last one. Ends where a file does; raises OSError."""
    filled = 0
    for piece in pieces:
        left = piece.size_bytes
        with piece.open() as source:
            source.seek(piece.begin)
            while left and (count := source.readinto(buffer[filled : filled + left])):
                filled, left = filled + count, left - count
                if filled == len(buffer):
                    yield buffer
                    filled = 0
        if left:
            return
    if filled:
        yield buffer[:filled]


def _chunks_of(folder: Folder) -> list[tuple[str, str, int]]:
    """Hash, path and beginning of each chunk that a folder's own list names; nobody needs to have signed it."""
    kept = folder.manifests()
    if kept is None:
        return []
    try:
        listed = bundle.unproven(kept[1])
    except Malformed:
        return []
    spans = (name.rsplit(":", 2) for name in listed.digests)
    return [
        (sha256, span[0], int(span[1]))
        for span, sha256 in zip(spans, listed.digests.values(), strict=True)
        if len(span) == 3 and span[1].isdecimal()
    ]


def _tensors_of(path: Path) -> dict[tuple[str, str], _Piece]:
    """The tensors of one file, by name and type; none where it cannot be read."""
    try:
        with path.open("rb") as source:
            size_bytes = os.fstat(source.fileno()).st_size
            head = source.read(LENGTH_BYTES)
            head += source.read(max(0, head_bytes(head, size_bytes) - len(head)))
    except OSError:
        return {}
    return {
        (one.name, one.dtype): _Piece(path, one.begin, one.end - one.begin) for one in layout(head, size_bytes).tensors
    }
