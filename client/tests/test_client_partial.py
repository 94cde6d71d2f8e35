"""Files that are arriving: each byte at its place, past the page cache or not, and trusted only by its hash."""

import hashlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from weightgate.download.manifest import Chunk
from weightgate.download.partial import BLOCK_BYTES, PartialFile, has_chunk
from weightgate.verdicts import Failed

BUFFER = memoryview(bytearray(BLOCK_BYTES))


@pytest.fixture(params=["in memory", "on disk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where the file system takes direct writes, and where it may not."""
    if request.param == "in memory":
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=Path(__file__).parents[2]) as path:
        yield Path(path)


def test_what_is_written_in_any_order_is_the_file(folder: Path) -> None:
    """Whole blocks, an end that fills none, and pieces that begin anywhere, as after a connection that broke."""
    content = os.urandom(2 * BLOCK_BYTES + 12_345)
    partial = PartialFile(folder / "deep" / "partial", len(content))
    aligned = mmap.mmap(-1, len(content))
    aligned[:] = content
    view = memoryview(aligned)
    for begin, end in ((2 * BLOCK_BYTES, len(content)), (BLOCK_BYTES, 2 * BLOCK_BYTES), (0, 777), (777, BLOCK_BYTES)):
        partial.write(view[begin:end], begin)
    partial.finish(folder / "final" / "name")
    assert (folder / "final" / "name").read_bytes() == content
    assert not (folder / "deep" / "partial").exists()


def test_a_chunk_is_there_by_its_hash_alone(tmp_path: Path) -> None:
    """Not by the size of the file: a hole, another content and a file that is too short are not it."""
    content = os.urandom(300_000)
    chunks = [
        Chunk(begin, begin + 100_000, hashlib.sha256(content[begin : begin + 100_000]).hexdigest())
        for begin in range(0, 300_000, 100_000)
    ]
    partial = PartialFile(tmp_path / "partial", len(content))
    partial.write(memoryview(content)[100_000:200_000], 100_000)
    partial.close()
    assert [has_chunk(tmp_path / "partial", chunk, BUFFER) for chunk in chunks] == [False, True, False]
    (tmp_path / "short").write_bytes(content[:150_000])
    assert [has_chunk(tmp_path / "short", chunk, BUFFER) for chunk in chunks] == [True, False, False]
    assert not has_chunk(tmp_path / "nothing", chunks[0], BUFFER)
    assert not has_chunk(tmp_path, chunks[0], BUFFER)


def test_what_an_earlier_run_left_too_long_is_cut(tmp_path: Path) -> None:
    """The file has its size when it gets its name."""
    (tmp_path / "partial").write_bytes(b"x" * 100)
    PartialFile(tmp_path / "partial", 60).finish(tmp_path / "name")
    assert (tmp_path / "name").read_bytes() == b"x" * 60


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """Whoever can put a link into the folder cannot have another file overwritten."""
    (tmp_path / "target").write_bytes(b"mine")
    (tmp_path / "partial").symlink_to(tmp_path / "target")
    with pytest.raises(Failed, match="symbolic link"):
        PartialFile(tmp_path / "partial", 4).write(memoryview(b"evil"), 0)
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where a folder should be."""
    (tmp_path / "deep").write_bytes(b"")
    with pytest.raises(Failed, match="cannot be written"):
        PartialFile(tmp_path / "deep" / "partial", 4).write(memoryview(b"data"), 0)
