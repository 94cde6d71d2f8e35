"""Where logs lie: files, folders, packed or not, objects of a bucket; read whole, in bounded memory."""

import gzip
import io
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.storage import access_log_sources as sources
from server.storage import keys
from server.storage.access_log_sources import SourceError
from server.storage.access_logs import Tally
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.object_errors import ObjectStoreError
from server.storage.objects import S3Objects
from tests.access_log_lines import CLOUDFRONT_HEAD, Wanted, cloudfront_line, s3_line

WANTED = Wanted(datetime(2026, 11, 1, tzinfo=UTC), "checkpoints/a", "01991e0a-0000-7000-8000-0123456789ab")


def no_store(bucket: str) -> S3Objects:
    raise AssertionError(bucket)


def ids_in(*places: Path | str, tally: Tally | None = None) -> list[str]:
    return [
        read.request_key.decode()
        for source in sources.expand([str(place) for place in places], no_store)
        for block in sources.reads(source, tally or Tally())
        for read in block
    ]


def named(name: str) -> str:
    return s3_line(WANTED._replace(request_id=name)) + "\n"


def test_folders_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Packed files as well; hidden ones, and what is no log, are not taken for logs."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.gz").write_bytes(gzip.compress(named("B2").encode()) + gzip.compress(named("B3").encode()))
    (tmp_path / "a").write_text(named("A1") + named("A2"))
    (tmp_path / "c").write_text(named("C1").rstrip("\n"))
    (tmp_path / ".hidden").write_text(named("HIDDEN"))
    (tmp_path / "d").write_text("")
    assert ids_in(tmp_path) == ["A1", "A2", "B2", "B3", "C1"]
    assert ids_in(tmp_path / "b", tmp_path / "a") == ["B2", "B3", "A1", "A2"]
    assert sources.total_bytes([str(tmp_path)]) == sum(
        (tmp_path / name).stat().st_size for name in ("a", "b/2.gz", "c", "d")
    )


def test_progress_tells_every_byte(tmp_path: Path) -> None:
    """As it lies there, packed; so that a bar ends where the file does."""
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress("".join(named(f"{n:016}") for n in range(5000)).encode()))
    (source,) = sources.expand([str(path)], no_store)
    told: list[int] = []
    assert sum(len(block) for block in sources.reads(source, Tally(), told.append)) == 5000
    assert sum(told) == path.stat().st_size
    assert len(told) > 2


@pytest.mark.parametrize("damage", [lambda packed: packed[:-20], lambda packed: packed[:60] + b"\0\0\0" + packed[63:]])
def test_a_damaged_file_is_told_by_its_name(tmp_path: Path, damage: object) -> None:
    """After what was whole in it."""
    assert callable(damage)
    path = tmp_path / "cut.gz"
    path.write_bytes(damage(gzip.compress("".join(named(uuid.uuid4().hex) for _ in range(3000)).encode())))
    with pytest.raises(SourceError, match=r"cut\.gz is damaged or truncated"):
        ids_in(path)


@pytest.mark.parametrize(
    ("place", "says"), [("nowhere.log", "cannot be read"), ("s3:///prefix", "does not name a bucket")]
)
def test_a_place_that_is_none_is_told(place: str, says: str) -> None:
    """Before anything is read."""
    with pytest.raises(SourceError, match=says):
        list(sources.expand([place], no_store))


@given(st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b"")), max_size=30), st.integers(1, 60))
def test_blocks_give_every_line(lines: list[bytes], at_once: int) -> None:
    """However the stream is cut."""

    class Slow(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            return super().read(at_once)

    found = [line for block in sources.line_blocks(Slow(b"".join(line + b"\n" for line in lines))) for line in block]
    assert found == lines


def test_a_line_without_end_costs_no_memory() -> None:
    """A megabyte without an end is one line that cannot be read; the one after it can."""
    endless = named("FIRST").encode() + b"x" * (3 << 20) + b"\n" + named("LAST").encode()
    blocks = list(sources.line_blocks(io.BytesIO(endless)))
    lines = [line for block in blocks for line in block]
    assert [line[:3] for line in lines] == [named("FIRST").encode()[:3], b"\0xx", named("LAST").encode()[:3]]
    assert sum(map(len, lines)) < 2000


def test_cloudfront_files_are_packed_and_have_a_header(tmp_path: Path) -> None:
    """As CloudFront delivers them."""
    (tmp_path / "E2.2026-11-01-00.abcd.gz").write_bytes(
        gzip.compress((CLOUDFRONT_HEAD + cloudfront_line(WANTED) + "\n").encode())
    )
    tally = Tally()
    assert ids_in(tmp_path, tally=tally) == [WANTED.request_id]
    assert (tally.lines, tally.about_nothing, tally.unreadable) == (3, 2, 0)


@pytest.fixture
def bucket(embedded_store: EmbeddedStore) -> Iterator[S3Objects]:
    with S3Objects(
        endpoint_url=embedded_store.endpoint_url, region=REGION, bucket="weights", addressing="path",
        credentials=keys.read_s3_credentials(embedded_store.publisher_key_file),
    ) as objects:  # fmt: skip
        yield objects


def test_objects_are_read_below_a_prefix(bucket: S3Objects) -> None:
    """In the order of their names, more than are fetched ahead, and those that are known are not fetched."""
    prefix = f"logs-{uuid.uuid4().hex}/"
    for number in range(7):
        bucket.put_bytes(f"{prefix}{number}", named(f"N{number}").encode())
    place = f"s3://weights/{prefix}"

    def known(names: object) -> set[str]:
        assert names == [f"{place}{number}" for number in range(7)]
        return {f"{place}3"}

    found = []
    for source in sources.expand([place], lambda _: bucket, known):
        assert source.is_object
        found += [read.request_key.decode() for block in sources.reads(source, Tally()) for read in block]
    assert found == ["N0", "N1", "N2", "N4", "N5", "N6"]
    assert sources.total_bytes([place]) == 0


def test_an_object_that_is_gone_is_a_problem_of_its_own(bucket: S3Objects) -> None:
    """The others are read all the same; their folder of the day is gone afterwards."""
    prefix = f"logs-{uuid.uuid4().hex}/"
    for number in range(3):
        bucket.put_bytes(f"{prefix}{number}", named(f"N{number}").encode())

    class Failing:
        def list_keys(self, prefix: str) -> list[str]:
            return bucket.list_keys(prefix)

        def download(self, key: str, path: Path) -> None:
            if key.endswith("0"):
                raise KeyError(key)
            if key.endswith("1"):
                raise ObjectStoreError("the store is down")
            bucket.download(key, path)

    told: list[str] = []
    for source in sources.expand([f"s3://weights/{prefix}"], lambda _: Failing()):
        try:
            told += [read.request_key.decode() for block in sources.reads(source, Tally()) for read in block]
        except SourceError as error:
            told.append(str(error))
    assert told == ["an object was removed while the logs were being read", "the store is down", "N2"]
