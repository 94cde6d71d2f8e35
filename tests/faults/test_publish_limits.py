"""The limits of one checkpoint, tried on the real store: its number of files, and files larger than many parts."""

import os
import re
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.domain.publish import formats, publishing
from server.domain.publish.faults import NotPublishable
from server.domain.publish.source_files import MAX_FILES
from server.domain.resources import Resources
from tests.counting import counted
from tests.domain.publish.folders import put
from tests.faults.proxy import Proxy, Verdict
from tests.world import World, write_settings

STAGE = "gpt-2/1558M"
REQUEST = re.compile(rb"^(?:GET|HEAD|POST|PUT|DELETE) ")


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


def test_a_file_more_costs_one_row_and_three_requests(sqlite_world: World, tmp_path: Path) -> None:
    """However many there are: what makes a thousand of them take their time, told without a clock.

    A few more of either, such as a request that is tried again, are no cost of each file.
    """
    few, more = (cost(sqlite_world, tmp_path / str(count), count) for count in (10, 20))
    rows, requests = (after - before for before, after in zip(few, more, strict=True))
    assert (rows < 15, requests < 35) == (True, True), (rows, requests)


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


def cost(world: World, folder: Path, count: int) -> tuple[int, int]:
    """How many statements and how many requests to the store it takes to publish so many files."""
    asked: list[bytes] = []
    files = many(folder / "files", count)

    def judge(sent: bytes) -> Verdict:
        asked.extend(REQUEST.findall(sent[:100]))
        return Verdict.PASS

    with Proxy(urlsplit(world.settings.s3_endpoint_url or "").port or 0, judge) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        settings = write_settings(world.template, folder, world.settings.database_url, s3_endpoint_url=endpoint)
        with closing(Resources(settings)) as use, counted(use.database) as statements:
            publishing.publish(use, world.person("publisher"), files, STAGE)
    return len(statements), len(asked)
