"""Older files: chunks that lie on this disk already, in another checkpoint's folder, need not be fetched."""

import hashlib
import os
from pathlib import Path

from weightgate.download import bundle
from weightgate.download.folder import Folder
from weightgate.download.manifest import Chunk, File
from weightgate.download.partial import PartialFile, read_at
from weightgate.verdicts import Malformed


class Older:
    """Where chunks may lie. Nothing here is believed: what is copied is hashed on the way."""

    def __init__(self, folders: list[Folder]) -> None:
        self._folders = folders
        self._known: dict[str, tuple[Path, int]] = {}
        for folder in folders:
            for chunk, path, begin in _chunks_of(folder):
                self._known[chunk] = (folder.file(path), begin)

    def copy(self, file: File, chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
        """Copy one chunk into its place, if it lies somewhere. Raises Failed when this disk does not take it."""
        places = [(folder.file(file.path), chunk.begin) for folder in self._folders]
        if chunk.sha256 in self._known:
            places.insert(0, self._known[chunk.sha256])
        return any(_copied(path, begin, chunk, partial, buffer) for path, begin in places)


def _copied(path: Path, begin: int, chunk: Chunk, partial: PartialFile, buffer: memoryview) -> bool:
    try:
        source = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return False
    digest, done = hashlib.sha256(), 0
    try:
        while done < chunk.size_bytes:
            count = read_at(source, buffer[: chunk.size_bytes - done], begin + done)
            if count == 0:
                return False
            digest.update(buffer[:count])
            partial.write(buffer[:count], chunk.begin + done)
            done += count
    except OSError:
        return False  # of the older disk: what cannot be read there is fetched
    finally:
        os.close(source)
    return digest.hexdigest() == chunk.sha256


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
