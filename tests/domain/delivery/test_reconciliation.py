"""Reconciliation, from logs to what was fetched: every kind of log, every place, each line once, whatever happens."""

import gzip
import random
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from server.domain.delivery import deliveries, reconciliation, reconciliation_run
from server.domain.delivery.deliveries import DeliveryState, Fetched
from server.domain.delivery.reconciliation import Summary
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.domain.errors import InvalidRequest
from server.storage import keys
from server.storage.database import DatabaseUnavailable
from tests.access_log_lines import (
    cloudfront_line,
    embedded_line,
    minio_line,
    radosgw_line,
    read_of,
    s3_line,
    write_log,
)
from tests.world import World

KINDS = {"S3": s3_line, "CloudFront": cloudfront_line, "embedded": embedded_line}
KINDS |= {"Ceph": radosgw_line, "MinIO": minio_line}


def issue(world: World) -> Download:
    return issuing.issue(world.use, world.caller("cleared"), world.order(paths=["hparams.json", "vocab.bpe"]))


def fetched(world: World, download: Download, path: str = "hparams.json") -> Fetched:
    with world.use.database.reading() as session:
        found = deliveries.of_download(session, download.id)
    assert found is not None
    return next(file for file in found.files if file.path == path)


def everything(world: World) -> list[tuple[Any, ...]]:
    with world.use.database.reading() as session:
        rows = session.query(deliveries.Delivery).order_by(deliveries.Delivery.download_id, deliveries.Delivery.path)
        return [
            (r.download_id, r.path, r.requests, r.bytes_sent, r.first_ms, r.last_ms, sorted(r.addresses.split()))
            for r in rows
        ]


def counts(summary: Summary) -> dict[str, int]:
    """What a run counted of its lines, without zeros; together they are all of them."""
    names = ("matched", "unmatched", "own", "other", "duplicates", "late", "unreadable")
    assert sum(getattr(summary, name) for name in names) == summary.lines
    return {name: value for name in names if (value := getattr(summary, name))}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_log_tells_what_was_fetched(sqlite_world: World, tmp_path: Path, kind: str) -> None:
    """Requests, bytes, first and last time, addresses, file by file; what was refused counts for nothing."""
    world, download = sqlite_world, issue(sqlite_world)
    at, size = world.use.clock().replace(microsecond=0), download.files[0].size_bytes
    half = read_of(download, at, bytes_sent=size // 2)
    rest = read_of(download, at + timedelta(seconds=9), bytes_sent=size - size // 2, address="127.0.0.9")
    lines = [rest, half, read_of(download, at, status=403, bytes_sent=999), read_of(download, at)._replace(key="other")]
    summary = reconciliation.reconcile(world.use, [write_log(tmp_path / "log", lines, KINDS[kind])])
    assert counts(summary) == {"matched": 2, "other": 4 if kind == "CloudFront" else 2}
    assert summary.bytes_sent == size
    assert summary.alarms == {}
    found = fetched(world, download)
    assert (found.requests, found.bytes_sent, found.state) == (2, size, DeliveryState.COMPLETE)
    assert (found.first_at, found.last_at) == (at, at + timedelta(seconds=9))
    assert sorted(found.addresses) == ["127.0.0.1", "127.0.0.9"]
    assert fetched(world, download, "vocab.bpe").state is DeliveryState.UNUSED


def test_the_api_tells_what_was_delivered(world: World, tmp_path: Path) -> None:
    """Null until the store's log has told; one's own organization sees it, another sees no such download."""
    download = issue(world)
    assert world.api("GET", "/downloads").json["items"][0]["delivered_bytes"] is None
    lines = [read_of(download, world.use.clock(), path) for path in ("hparams.json", "vocab.bpe")]
    reconciliation.reconcile(world.use, [write_log(tmp_path / "log", lines)])
    (item,) = world.api("GET", "/downloads").json["items"]
    assert item["delivered_bytes"] == item["size_bytes"] == sum(file.size_bytes for file in download.files)
    assert world.api("GET", "/downloads", "uncleared").json["items"] == []


def test_a_result_is_an_entry(world: World, tmp_path: Path) -> None:
    """Of no organization, with what was read and found; and a second reading is one more."""
    name = write_log(tmp_path / "log", [read_of(issue(world), world.use.clock())])
    for _ in range(2):
        reconciliation.reconcile(world.use, [name])
    first, second = world.records("reconciliation")
    assert first["sources"] == [name]
    assert [record["matched"] for record in (first, second)] == [1, 0]
    assert [record["duplicates"] for record in (first, second)] == [0, 1]
    assert {entry.organization_id for entry in world.entries("reconciliation")} == {None}


def test_lines_count_once_in_any_order(world: World, tmp_path: Path) -> None:
    """Two files that overlap, each with lines twice and out of order, read twice, packed too, give what one gives."""
    made = [issue(world) for _ in range(3)]
    at = world.use.clock()
    lines = [
        read_of(each, at + timedelta(seconds=37 * n), bytes_sent=n + 1, address=f"127.0.0.{n % 5}")
        for n in range(40)
        for each in made
    ]
    chance = random.Random(5)  # noqa: S311
    first, second = lines[:80] * 2, lines[50:] * 2
    for some in (first, second):
        chance.shuffle(some)
    folder = tmp_path / "logs"
    folder.mkdir()
    write_log(folder / "2", second)
    (folder / "1.gz").write_bytes(gzip.compress(Path(write_log(tmp_path / "plain", first)).read_bytes()))
    once = reconciliation.reconcile(world.use, [str(folder)])
    assert counts(once) == {"matched": 120, "duplicates": 180}
    before = everything(world)
    again = reconciliation.reconcile(world.use, [str(folder), str(tmp_path / "plain")])
    assert counts(again) == {"duplicates": 300 + 160}
    assert everything(world) == before
    assert [row[2:4] for row in before] == [(40, sum(range(1, 41)))] * 3
    assert len(world.entries("alarm")) == len({(r["download"], r["alarm"]) for r in world.records("alarm")})


def test_a_line_that_was_cut_counts_once_it_is_whole(sqlite_world: World, tmp_path: Path) -> None:
    """A file that was copied while it grew ends within a line."""
    world, download = sqlite_world, issue(sqlite_world)
    path = tmp_path / "log"
    write_log(path, [read_of(download, world.use.clock(), bytes_sent=n) for n in (1000, 20)])
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b" 20 ") + 2])
    assert counts(reconciliation.reconcile(world.use, [str(path)])) == {"matched": 1, "unreadable": 1}
    path.write_bytes(whole)
    assert counts(reconciliation.reconcile(world.use, [str(path)])) == {"matched": 1, "duplicates": 1}
    assert fetched(world, download).bytes_sent == 1020


def test_late_lines_count_for_a_month(sqlite_world: World, tmp_path: Path) -> None:
    """Older ones cannot be told from those that were counted; they are looked at, told, and not counted."""
    world, download = sqlite_world, issue(sqlite_world)
    at = world.use.clock()
    names = [write_log(tmp_path / str(n), [read_of(download, at, bytes_sent=n)]) for n in (1, 2)]
    world.clock.advance(timedelta(days=29))
    assert counts(reconciliation.reconcile(world.use, names[:1])) == {"matched": 1}
    world.clock.advance(timedelta(days=2))
    assert counts(reconciliation.reconcile(world.use, names)) == {"late": 2}
    assert fetched(world, download).bytes_sent == 1


def test_two_at_once_count_each_line_once(world: World, tmp_path: Path) -> None:
    """Several runs over the same lines at the same moment, each line in one of them new."""
    made = [issue(world) for _ in range(4)]
    at = world.use.clock()
    lines = [read_of(made[n % 4], at + timedelta(seconds=n % 600), bytes_sent=1) for n in range(2000)]
    names = [write_log(tmp_path / str(n), lines) for n in range(4)]
    start = threading.Barrier(4)
    summaries: list[Summary] = []

    def run(name: str) -> None:
        start.wait()
        summaries.append(reconciliation.reconcile(world.use, [name]))

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(summary.matched for summary in summaries) == 2000
    assert sum(summary.duplicates for summary in summaries) == 6000
    assert [row[2:4] for row in everything(world)] == [(500, 500)] * 4


class Crashed(Exception):
    """The process of a test ended here."""


@contextmanager
def crashing(world: World, monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """Let the transaction of this number fail at its end; a negative one fails after it was stored."""
    transaction, number = world.use.database.transaction, 0

    @contextmanager
    def counted() -> Iterator[Any]:
        nonlocal number
        number += 1
        with transaction() as session:
            yield session
            if number == at:
                raise Crashed
        if number == -at:
            raise DatabaseUnavailable("the commit did not come back")

    with monkeypatch.context() as patch:
        patch.setattr(world.use.database, "transaction", counted)
        yield


@pytest.mark.parametrize("at", [1, -1, 2, -2, 3, -3])
def test_a_crash_loses_nothing_and_doubles_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Before and after each of the transactions: alarms, counting, result. The same call then does the rest."""
    download = issue(world)
    lines = [read_of(download, world.use.clock(), bytes_sent=n, address="198.51.100.7") for n in (1, 2, 4)]
    lines.append(read_of(download, world.use.clock(), "vocab.bpe", bytes_sent=10_000_000))
    name = write_log(tmp_path / "log", [*lines, lines[0]._replace(download_id=None, request_id="GHOST")])
    with crashing(world, monkeypatch, at), pytest.raises((Crashed, DatabaseUnavailable)):
        reconciliation.reconcile(world.use, [name])
    reconciliation.reconcile(world.use, [name])
    assert (fetched(world, download).requests, fetched(world, download).bytes_sent) == (3, 7)
    assert fetched(world, download, "vocab.bpe").state is DeliveryState.OVER
    assert sorted(record["alarm"] for record in world.records("alarm")) == [
        "foreign_address",
        "ghost_read",
        "over_read",
    ]


def test_objects_of_a_bucket_are_read_once(world: World) -> None:
    """Whole ones are remembered and not fetched again; one that was damaged is told, and fetched the next time."""
    download = issue(world)
    prefix = f"logs-{uuid.uuid4().hex}/"
    place = f"s3://weights/{prefix}"
    packed = [
        gzip.compress((s3_line(read_of(download, world.use.clock(), bytes_sent=n)) + "\n").encode() * 50)
        for n in (1, 2, 3)
    ]
    for number, content in enumerate([packed[0], packed[1][:-9], packed[2]]):
        world.use.store.put_bytes(f"{prefix}{number}", content)
    first = reconciliation.reconcile(world.use, [place])
    assert (first.logs, first.logs_known, first.matched, first.duplicates) == (3, 0, 2, 98)
    (problem,) = first.problems
    assert problem.startswith(f"{place}1 is damaged")
    world.use.store.put_bytes(f"{prefix}1", packed[1])
    second = reconciliation.reconcile(world.use, [place])
    assert (second.logs, second.logs_known, second.matched, second.duplicates) == (1, 2, 1, 49)
    third = reconciliation.reconcile(world.use, [place])
    assert (third.logs, third.logs_known, third.lines, third.problems) == (0, 3, 0, [])
    assert fetched(world, download).bytes_sent == 6
    assert [record["problems"] for record in world.records("reconciliation")] == [1, 0, 0]


def test_the_embedded_store_tells_what_was_really_fetched(sqlite_world: World, tmp_path: Path) -> None:
    """A whole fetch and a range of another file, through the URLs themselves, in the proxy's own lines."""
    world, download = sqlite_world, issue(sqlite_world)
    bodies = []
    for url, headers in zip(download.urls, ({}, {"Range": "bytes=0-9"}), strict=True):
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            bodies.append(answer.read())
    log = Path(world.settings.publisher_key_file).parents[1] / "logs" / "access.log"
    mine: list[str] = []
    deadline = time.monotonic() + 10
    while len(mine) < 2 and time.monotonic() < deadline:  # a line is written when the answer has ended
        mine = [line for line in log.read_text(errors="replace").splitlines() if download.id in line]
    (tmp_path / "access.log").write_text("".join(line + "\n" for line in mine))
    summary = reconciliation.reconcile(world.use, [str(tmp_path / "access.log")])
    assert counts(summary) == {"matched": 2}
    assert summary.alarms == {}
    assert [fetched(world, download, file.path).bytes_sent for file in download.files] == [len(b) for b in bodies]
    assert fetched(world, download, "vocab.bpe").state is DeliveryState.PARTIAL
    assert fetched(world, download).addresses == ["127.0.0.1"]


def test_a_header_cannot_hide_a_ghost_read(sqlite_world: World, tmp_path: Path) -> None:
    """Who stole the signer's key reads nothing with a header that names the publisher, and without it is found."""
    world, use = sqlite_world, sqlite_world.use
    key = urlsplit(issue(world).urls[0]).path.removeprefix(f"/{world.settings.s3_bucket}/")
    stolen = keys.read_s3_credentials(world.settings.signer_key_file)
    client = boto3.client(
        "s3", endpoint_url=world.settings.s3_endpoint_url, region_name="us-east-1",
        aws_access_key_id=stolen.access_key_id, aws_secret_access_key=stolen.secret_access_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )  # fmt: skip
    url = client.generate_presigned_url("get_object", Params={"Bucket": world.settings.s3_bucket, "Key": key})
    client.close()
    publisher = keys.read_s3_credentials(world.settings.publisher_key_file).access_key_id
    ghost = {"User-Agent": f"ghost-{uuid.uuid4().hex}"}
    hiding = ghost | {"Authorization": f"x Credential={publisher}/1/2/3/4"}
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(url, headers=hiding))
    with urllib.request.urlopen(urllib.request.Request(url, headers=ghost)) as answer:
        answer.read()
    log = Path(world.settings.publisher_key_file).parents[1] / "logs" / "access.log"
    mine: list[str] = []
    deadline = time.monotonic() + 10
    while len(mine) < 2 and time.monotonic() < deadline:  # a line is written when the answer has ended
        mine = [line for line in log.read_text(errors="replace").splitlines() if ghost["User-Agent"] in line]
    (tmp_path / "access.log").write_text("".join(line + "\n" for line in mine))
    summary = reconciliation.reconcile(use, [str(tmp_path / "access.log")])
    assert counts(summary) == {"unmatched": 1, "other": 1}
    assert summary.alarms == {"ghost_read": 1}


@pytest.mark.parametrize("places", [["nowhere.log"], ["s3:///logs"]])
def test_a_place_that_is_none_is_refused(sqlite_world: World, places: list[str]) -> None:
    """With a sentence, and before anything is written."""
    with pytest.raises(InvalidRequest, match=r"cannot be read|does not name a bucket"):
        reconciliation.reconcile(sqlite_world.use, places)
    assert sqlite_world.entries("reconciliation") == []


def test_the_bucket_is_asked_with_the_key_that_was_named(sqlite_world: World) -> None:
    """The one of the settings when none was; another is refused by the store."""
    with pytest.raises(Exception, match="store") as caught:
        reconciliation.reconcile(sqlite_world.use, ["s3://weights/logs"], log_credentials=keys.new_s3_credentials())
    assert "Forbidden" in str(caught.value) or "refus" in str(caught.value) or "denied" in str(caught.value).lower()


def test_a_file_s_name_may_be_no_text(sqlite_world: World, tmp_path: Path) -> None:
    """It is told with a mark in place of what nobody can read."""
    path = Path(f"{tmp_path}/log-\udcff")
    write_log(path, [read_of(issue(sqlite_world), sqlite_world.use.clock())])
    reconciliation.reconcile(sqlite_world.use, [str(path)])
    assert sqlite_world.records("reconciliation")[0]["sources"] == [f"{tmp_path}/log-?"]


def test_memory_is_bounded(sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty thousand lines of 30 MB take the memory of the batch that is counted at once, here a tenth of them."""
    monkeypatch.setattr(reconciliation_run, "BATCH_LINES", 5000)
    download = issue(sqlite_world)
    line = s3_line(read_of(download, sqlite_world.use.clock(), bytes_sent=1, request_id="ID", user_agent="U" * 200))
    before, after = line.split(" ID ")
    path = tmp_path / "log"
    with path.open("w") as stream:
        stream.writelines(f"{before} {number:016X} {after}\n" for number in range(50_000))
    tracemalloc.start()
    try:
        reconciliation.reconcile(sqlite_world.use, [str(path)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert fetched(sqlite_world, download).requests == 50_000
    assert peak < 10 << 20 < path.stat().st_size
