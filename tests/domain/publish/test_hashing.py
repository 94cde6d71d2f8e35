"""Hashing reads every file once and notices when it was not the file that was checked."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from model_signing import hashing as library

from server.domain.publish.faults import Faults, NotPublishable
from server.domain.publish.hashing import CHUNK_BYTES, FileHashes, hash_files
from server.domain.publish.source_files import DiskFile, walk


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def file(tmp_path: Path) -> DiskFile:
    (tmp_path / "a.txt").write_bytes(bytes(range(250)) * 40_000)
    (found,) = walk(tmp_path, Faults()).files
    assert isinstance(found, DiskFile)
    return found


@pytest.mark.parametrize("size_bytes", [1, 6, 7, 8, 14, 20, 21, 22])
def test_chunks_end_at_their_boundaries(tmp_path: Path, size_bytes: int) -> None:
    """A file of exactly n chunks has n of them, and one byte more begins the next."""
    content = bytes(range(size_bytes))
    (tmp_path / "a.txt").write_bytes(content)
    pieces = [content[begin : begin + 7] for begin in range(0, size_bytes, 7)]
    expected = FileHashes(size_bytes, sha256(content), 7, tuple(map(sha256, pieces)))
    assert hash_files(walk(tmp_path, Faults()).files, chunk_bytes=7) == {"a.txt": expected}


@pytest.mark.parametrize("size_bytes", [CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 4096])
def test_chunks_of_64_mib_are_the_librarys_shards(tmp_path: Path, size_bytes: int) -> None:
    """The file is sparse but for a mark at each side of every boundary."""
    assert CHUNK_BYTES == 64 * 2**20
    with (tmp_path / "a.txt").open("wb") as stream:
        for place in (0, CHUNK_BYTES - 2, CHUNK_BYTES, 2 * CHUNK_BYTES - 1, 2 * CHUNK_BYTES):
            stream.seek(place)
            stream.write(b"mark")
        stream.truncate(size_bytes)
    ours = hash_files(walk(tmp_path, Faults()).files)["a.txt"]
    config = library.Config()  # type: ignore[no-untyped-call]
    shards = config.use_shard_serialization(shard_size=CHUNK_BYTES).hash(tmp_path).resource_descriptors()
    assert list(ours.chunk_sha256s) == [shard.digest.digest_hex for shard in shards]
    whole = config.use_file_serialization().hash(tmp_path).resource_descriptors()
    assert [ours.sha256] == [entry.digest.digest_hex for entry in whole]


def test_every_file_is_hashed_under_its_path_and_all_bytes_are_reported(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    contents = {"b.txt": b"b" * 9_000_000, "sub/a.txt": b"a", "sub/c.txt": b"b" * 9_000_000}
    for path, content in contents.items():
        (tmp_path / path).write_bytes(content)
    read: list[int] = []
    hashes = hash_files(walk(tmp_path, Faults()).files, read.append)
    assert {path: found.sha256 for path, found in hashes.items()} == {p: sha256(c) for p, c in contents.items()}
    assert sum(read) == 18_000_001
    assert max(read) <= 4 * 2**20


def test_an_empty_file_has_no_chunk(tmp_path: Path, file: DiskFile) -> None:
    """A scan refuses such a file; the hash of nothing must still not be invented as a chunk."""
    os.truncate(file.location, 0)
    status = file.location.stat()
    empty = DiskFile("a.txt", file.location, 0, status.st_mtime_ns, file.device_inode)
    assert hash_files([empty])["a.txt"].chunk_sha256s == ()


def grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def rewrite(path: Path) -> None:
    """Same size, another time; the clock is not asked."""
    status = path.stat()
    with path.open("r+b") as stream:
        stream.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def replace(path: Path) -> None:
    """Same size, same time, another file."""
    status = path.stat()
    other = path.with_name("other")
    other.write_bytes(b"x" * status.st_size)
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)


CHANGES = [grow, rewrite, replace, lambda path: os.truncate(path, 5), Path.unlink]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_after_the_scan_is_refused(file: DiskFile, change: Callable[[Path], None]) -> None:
    change(file.location)
    with pytest.raises(NotPublishable, match=r"^a\.txt: "):
        hash_files([file])


@pytest.mark.parametrize("change", [grow, rewrite, lambda path: os.truncate(path, 5)])
def test_a_file_that_changes_while_it_is_read_is_refused(file: DiskFile, change: Callable[[Path], None]) -> None:
    changes = [change]
    with pytest.raises(NotPublishable, match="changed while it was being read"):
        hash_files([file], lambda _: changes.pop()(file.location) if changes else None)
    assert not changes


def test_an_interrupt_ends_the_hashing(file: DiskFile) -> None:
    """Ctrl-C at the first block must not wait for the other 50 GB."""
    read: list[int] = []

    def interrupt(count: int) -> None:
        read.append(count)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_files([file], interrupt)
    assert len(read) == 1
