"""Where access logs lie: files, folders, gzip or not, and objects of a bucket. Read in blocks, in bounded memory."""

import gzip
import os
import tempfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from server.storage import (
    access_log_cloudfront,
    access_log_embedded,
    access_log_minio,
    access_log_radosgw,
    access_log_s3,
)
from server.storage.access_logs import LogReader, Read, Tally
from server.storage.object_errors import ObjectStoreError

BLOCK_BYTES = 1 << 18  # more is slower: it does not stay in the processor's cache
LINE_BYTES_AT_MOST = 1 << 17  # S3's longest are about 25 KB: target, referer and user agent of 8 KB each
AHEAD = 4  # objects fetched while one is read: S3 writes many small ones
FORMATS = (
    access_log_cloudfront.of, access_log_embedded.of, access_log_minio.of, access_log_radosgw.of, access_log_s3.of,
)  # fmt: skip

Advance = Callable[[int], None]  # bytes read just now, as they lie there


class SourceError(Exception):
    """A log cannot be opened, or is damaged. The text says which, and what to do."""


class LogStore(Protocol):
    """What is needed of a bucket with logs. Both may raise ObjectStoreError."""

    def list_keys(self, prefix: str) -> list[str]: ...
    def download(self, key: str, path: Path) -> None: ...


class Readable(Protocol):
    """A stream of bytes; fewer than asked for may come, none at its end."""

    def read(self, size: int, /) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """One log file. size_bytes: 0 where it is not known before. is_object: once written, it never changes."""

    name: str
    size_bytes: int
    is_object: bool
    open: Callable[[], AbstractContextManager[FileIO]]


def expand(
    places: Sequence[str],
    store_of: Callable[[str], LogStore],
    known: Callable[[Sequence[str]], set[str]] = lambda _: set(),
) -> Iterator[Source]:
    """Yield the logs at files, in folders and under s3://bucket/prefix, in the order of their names.

    store_of: opens a bucket by its name. known: which of some objects' names need not be fetched. Raises SourceError.
    """
    for place in places:
        if place.startswith("s3://"):
            parts = urlsplit(place)
            if not parts.netloc:
                raise SourceError(f"{place} does not name a bucket: write s3://bucket/prefix")
            yield from _objects(parts.netloc, place.removeprefix(f"s3://{parts.netloc}").lstrip("/"), store_of, known)
        else:
            yield from _files(Path(place))


def total_bytes(places: Sequence[str]) -> int:
    """Return how much there is to read; 0 when some of it lies in a bucket, which does not say so beforehand."""
    if any(place.startswith("s3://") for place in places):
        return 0
    return sum(source.size_bytes for place in places for source in _files(Path(place)))


def reads(source: Source, tally: Tally, advance: Advance = lambda _: None) -> Iterator[list[Read]]:
    """Yield the reads of one log, block by block, unpacking it if needed.

    Raises SourceError when it is damaged, after most of what was whole. A last line without its end is read too: what
    was copied whole may lack it.
    """
    try:
        with source.open() as raw:
            reader = LogReader(FORMATS, tally)
            done = 0
            for lines in line_blocks(_unpacked(raw)):
                yield reader.reads(lines)
                now = raw.tell()
                advance(now - done)
                done = now
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise SourceError(f"{source.name} is damaged or truncated: fetch it again") from None
    except OSError as error:
        raise SourceError(f"{source.name} cannot be read ({error.strerror or type(error).__name__})") from None


def line_blocks(stream: Readable) -> Iterator[list[bytes]]:
    """Yield lists of whole lines without their ends. Of a line that is too long to be one, a start that is none."""
    rest, skipping = b"", False
    while block := stream.read(BLOCK_BYTES):
        if skipping:
            end = block.find(b"\n")
            if end < 0:
                continue
            block, skipping = block[end + 1 :], False
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        if len(rest) > LINE_BYTES_AT_MOST:
            lines.append(b"\0" + rest[:100])
            rest, skipping = b"", True
        yield lines
    if rest:
        yield [rest]


def _unpacked(raw: FileIO) -> Readable:
    start = raw.read(2)
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if start == b"\x1f\x8b" else raw


def _files(path: Path) -> Iterator[Source]:
    try:
        if path.is_dir():
            inside = sorted(child for child in path.rglob("*") if child.is_file() and not child.name.startswith("."))
        else:
            inside = [path]
        for file in inside:
            # Unbuffered: blocks are large, and the position tells the progress.
            yield Source(str(file), file.stat().st_size, False, partial(FileIO, file))
    except OSError as error:
        raise SourceError(f"{os.fsdecode(error.filename or path)} cannot be read ({error.strerror})") from None


def _objects(
    bucket: str,
    prefix: str,
    store_of: Callable[[str], LogStore],
    known: Callable[[Sequence[str]], set[str]],
) -> Iterator[Source]:
    store, place = store_of(bucket), f"s3://{bucket}/"
    listed = store.list_keys(prefix)
    read_before = known([place + key for key in listed])
    waiting = deque(key for key in listed if place + key not in read_before)
    with tempfile.TemporaryDirectory(prefix="weightgate-logs-") as folder, ThreadPoolExecutor(AHEAD) as pool:
        coming: deque[tuple[str, Path, Future[None]]] = deque()
        number = 0
        try:
            while waiting or coming:
                while waiting and len(coming) < AHEAD:
                    key, path, number = waiting.popleft(), Path(folder) / str(number), number + 1
                    coming.append((key, path, pool.submit(store.download, key, path)))
                key, path, fetching = coming.popleft()
                yield Source(place + key, 0, True, partial(_fetched, path, fetching))
                path.unlink(missing_ok=True)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _fetched(path: Path, fetching: Future[None]) -> Iterator[FileIO]:
    try:
        fetching.result()
    except KeyError:
        raise SourceError("an object was removed while the logs were being read") from None
    except ObjectStoreError as error:
        raise SourceError(str(error)) from None
    with FileIO(path) as stream:
        yield stream
