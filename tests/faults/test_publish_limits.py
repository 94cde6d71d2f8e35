"""The limits of one checkpoint, tried on the real store: its number of files, and files larger than many parts."""

import os
import time
from pathlib import Path

import pytest

from server.domain.publish import formats
from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import MAX_FILES
from tests.domain.publish.folders import put
from tests.world import World

STAGE = "gpt-2/1558M"


def many(folder: Path, count: int) -> Path:
    return put(folder, {f"{number // 100}/{number}.txt": str(number).encode() for number in range(count)})


def test_a_thousand_files_are_checked_in_seconds_and_more_are_counted(tmp_path: Path) -> None:
    """The most that a checkpoint may have; of 1,100 nothing is read."""
    many(tmp_path, MAX_FILES)
    began = time.process_time()
    assert len(formats.scan(tmp_path).files) == MAX_FILES
    assert time.process_time() - began < 5
    many(tmp_path, 1100)
    with pytest.raises(NotPublishable, match="contains 1100 files; the limit of a checkpoint is 1000"):
        formats.scan(tmp_path)


def test_a_small_share_of_the_files_is_published_in_time(sqlite_world: World, tmp_path: Path) -> None:
    """What the long run does with all of them: 15 ms a file on the store, and room for a busy machine."""
    require_published_within(sqlite_world, many(tmp_path / "files", 40), seconds=10)


@pytest.mark.fault
def test_a_thousand_files_are_published_in_time(sqlite_world: World, tmp_path: Path) -> None:
    """15 s when it was measured; the bound leaves room for a busy machine."""
    require_published_within(sqlite_world, many(tmp_path / "files", MAX_FILES), seconds=90)


@pytest.mark.fault
def test_six_gigabytes_are_published(sqlite_world: World, tmp_path: Path) -> None:
    """A sparse file: it takes no room here, and all of it at the store."""
    header = b'{"w":{"dtype":"U8","shape":[6000000000],"data_offsets":[0,6000000000]}}'
    folder = put(tmp_path / "files", {"model.safetensors": len(header).to_bytes(8, "little") + header})
    os.truncate(folder / "model.safetensors", 8 + len(header) + 6_000_000_000)
    require_published_within(sqlite_world, folder, seconds=600)


def require_published_within(world: World, folder: Path, seconds: float) -> None:
    began = time.monotonic()
    done = world.publish(folder, STAGE)
    assert time.monotonic() - began < seconds
    assert done.files == len(world.api("GET", f"/stages/{STAGE}/checkpoints/main", "publisher").json["files"])
