"""Older files: what lies on this disk already, in another checkpoint's folder, need not be fetched.

A chunk is looked for where it lay, and among tensors: one more of them, or one more digit in a head, moves all that
follow. Nothing here is believed: what is copied is hashed.
"""

import hashlib
import io
import os
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weightgate.download import bundle
from weightgate.download.folder import Folder
from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import PartialFile
from weightgate.download.tensors import LENGTH_BYTES, SUFFIX, Layout, Tensor, head_bytes, layout
from weightgate.verdicts import Malformed


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a chunk, from `at` in its file on. source: where these bytes may lie; None where nothing has them."""

    at: int
    size_bytes: int
    source: Path | bytes | None = None
    begin: int = 0

    def open(self) -> io.BytesIO | io.FileIO:
        return io.FileIO(self.source) if isinstance(self.source, Path) else io.BytesIO(self.source or b"")


class Older:
    """Where chunks may lie, and tensors."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders
        self._chunks: dict[str, tuple[Path, int]] = {}
        self._tensors: dict[tuple[str, str], Piece] = {}
        for folder in folders:
            for chunk, path, begin in _chunks_of(folder):
                self._chunks[chunk] = (folder.file(path), begin)
            for path in folder.others([]):
                if path.endswith(SUFFIX):
                    self._tensors |= _tensors_of(folder.file(path))

    @property
    def has_tensors(self) -> bool:
        return bool(self._tensors)

    def copy(self, file: File, chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
        """Copy one chunk into its place, if it lies somewhere. Raises Failed when this disk does not take it."""
        places = [(folder.file(file.path), chunk.begin) for folder in self._folders]
        if chunk.sha256 in self._chunks:
            places.insert(0, self._chunks[chunk.sha256])
        return any(
            written([Piece(chunk.begin, chunk.size_bytes, *place)], partial, buffer) == chunk.sha256 for place in places
        )

    def pieces(self, layout: Layout, chunk: Chunk, same: Container[Tensor]) -> list[Piece]:
        """What the chunk consists of, in order; nothing where the layout leaves that open. same: tensors to take.

        A tensor that grew begins as it was before: a larger vocabulary has its new rows at the end.
        """
        found, position = list[Piece](), chunk.begin
        if position < len(layout.head):
            found.append(Piece(position, min(len(layout.head), chunk.end) - position, layout.head, position))
            position += found[0].size_bytes
        for tensor in layout.tensors:
            if tensor.begin <= position < min(tensor.end, chunk.end):
                end, skipped = min(tensor.end, chunk.end), position - tensor.begin
                older = self._tensors.get((tensor.name, tensor.dtype)) if tensor in same else None
                if older is not None and older.size_bytes > skipped:
                    here = min(end - position, older.size_bytes - skipped)
                    found.append(Piece(position, here, older.source, older.begin + skipped))
                    position += here
                if position < end:
                    found.append(Piece(position, end - position))
                    position = end
        return found if position == chunk.end else []

    def beginning(self, tensor: Tensor, size_bytes: int) -> bytes:
        """The first bytes of the older tensor of this name and type; none where there is none."""
        older = self._tensors.get((tensor.name, tensor.dtype))
        if older is None:
            return b""
        try:
            with older.open() as source:
                source.seek(older.begin)
                return source.read(min(size_bytes, older.size_bytes)) or b""
        except OSError:
            return b""


def written(pieces: Iterable[Piece], partial: PartialFile, buffer: memoryview) -> str:
    """Write pieces that follow each other into their place, and return their SHA-256; of fewer bytes, where one ends.

    Raises Failed when this disk does not take them.
    """
    digest = hashlib.sha256()
    try:
        for position, block in _blocks(pieces, buffer):
            digest.update(block)
            partial.write(block, position)
    except OSError:
        return ""  # of the older disk: what cannot be read there is fetched
    return digest.hexdigest()


def _blocks(pieces: Iterable[Piece], buffer: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The bytes of the pieces, and where they belong, in full buffers but for the last one. Raises OSError."""
    filled, position = 0, -1
    for piece in pieces:
        position, left = piece.at if position < 0 else position, piece.size_bytes
        with piece.open() as source:
            source.seek(piece.begin)
            while left and (count := source.readinto(buffer[filled : filled + left])):
                filled, left = filled + count, left - count
                if filled == len(buffer):
                    yield position, buffer
                    filled, position = 0, position + filled
        if left:
            return
    if filled:
        yield position, buffer[:filled]


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


def _tensors_of(path: Path) -> dict[tuple[str, str], Piece]:
    """The tensors of one file, by name and type; none where it cannot be read."""
    try:
        with path.open("rb") as source:
            size_bytes = os.fstat(source.fileno()).st_size
            head = source.read(LENGTH_BYTES)
            head += source.read(max(0, head_bytes(head, size_bytes) - len(head)))
    except OSError:
        return {}
    return {
        (one.name, one.dtype): Piece(0, one.end - one.begin, path, one.begin)
        for one in layout(head, size_bytes).tensors
    }
