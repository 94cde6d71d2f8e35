"""Following a log that grows: each line once, whatever happens to the file between two looks."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from server.domain.delivery import deliveries, log_follower
from server.domain.delivery.log_follower import RECORDED_EVERY, FollowedLog
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Download
from server.storage import access_log_sources
from tests.access_log_lines import embedded_line, read_of
from tests.world import World


class Proxy:
    """A log that is written as the embedded proxy does: appended to, renamed, opened anew."""

    def __init__(self, world: World, path: Path) -> None:
        self.world, self.path = world, path
        self.download: Download = issuing.issue(world.use, world.caller("cleared"), world.order(paths=["vocab.bpe"]))
        self.written = 0

    def line(self) -> bytes:
        self.written += 1
        # Lines of one length, which differ at their start alone.
        at = self.world.use.clock().replace(microsecond=0)
        wanted = read_of(self.download, at, bytes_sent=1, request_id=f"{self.written:032x}")
        return embedded_line(wanted).encode() + b"\n"

    def write(self, lines: int = 1, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as stream:
            for _ in range(lines):
                stream.write(self.line())

    def rotate(self, name: str = "access.log.1") -> Path:
        return self.path.rename(self.path.with_name(name))

    def follow(self) -> int:
        return log_follower.follow(self.world.use, self.path).matched

    @property
    def counted(self) -> int:
        with self.world.use.database.reading() as session:
            found = deliveries.of_download(session, self.download.id)
        assert found is not None
        assert found.files[0].bytes_sent == found.files[0].requests
        return found.files[0].requests


@pytest.fixture
def proxy(sqlite_world: World, tmp_path: Path) -> Proxy:
    return Proxy(sqlite_world, tmp_path / "access.log")


def test_what_was_appended_is_counted(world: World, tmp_path: Path) -> None:
    """From where the last look ended; nothing new is nothing to do, and no file is an empty one."""
    proxy = Proxy(world, tmp_path / "access.log")
    assert proxy.follow() == 0
    for lines in (3, 2, 0, 5):
        proxy.write(lines)
        assert log_follower.follow(world.use, proxy.path).lines == lines
    assert proxy.counted == 10
    with world.use.database.reading() as session:
        assert session.get_one(FollowedLog, str(proxy.path)).position == proxy.path.stat().st_size


def test_a_line_that_is_being_written_waits(proxy: Proxy) -> None:
    """Whatever of it was there at a look."""
    whole = proxy.line()
    for part in (whole[:1], whole[1:100], whole[100:-1]):
        with proxy.path.open("ab") as stream:
            stream.write(part)
        assert proxy.follow() == 0
    with proxy.path.open("ab") as stream:
        stream.write(whole[-1:])
    assert proxy.follow() == 1


def same_place(proxy: Proxy) -> None:
    """The file is cut and written anew, to the same inode."""
    os.truncate(proxy.path, 0)
    proxy.write(2)


def longer(proxy: Proxy) -> None:
    """And is longer than before at the next look."""
    os.truncate(proxy.path, 0)
    proxy.write(9)


def replaced(proxy: Proxy) -> None:
    """The file is gone, and another one there."""
    proxy.path.with_name("gone").write_bytes(b"")  # keeps the system from giving the same inode again
    proxy.path.rename(proxy.path.with_name("other"))
    proxy.path.with_name("other").unlink()
    proxy.write(2)


def copied_back(proxy: Proxy) -> None:
    """The same lines come again, in another file, with more after them."""
    content = proxy.path.read_bytes()
    new = proxy.path.with_name("new")
    new.write_bytes(content)
    new.rename(proxy.path)
    proxy.write(2)


@pytest.mark.parametrize("change", [same_place, longer, replaced, copied_back])
def test_a_file_that_was_cut_or_replaced_is_read_anew(proxy: Proxy, change: Callable[[Proxy], None]) -> None:
    """And what comes twice counts once."""
    proxy.write(4)
    assert proxy.follow() == 4
    change(proxy)
    proxy.follow()
    assert proxy.counted == proxy.written


@pytest.mark.parametrize("name", ["access.log.1", "access.log-20261101"])
def test_a_renamed_file_is_read_to_its_end(proxy: Proxy, name: str) -> None:
    """Before and beside its successor; folders and others' files beside it are no trouble."""
    proxy.path.with_name("access.log.d").mkdir()
    proxy.path.with_name("access.log.0").write_bytes(b"another log\n")
    proxy.write(3)
    assert proxy.follow() == 3
    proxy.write(2)
    renamed = proxy.rotate(name)
    assert proxy.follow() == 0  # the proxy has not opened the new one yet
    proxy.write(1, renamed)
    proxy.write(4)
    assert proxy.follow() == 7
    assert proxy.counted == 10


def test_lines_that_reach_the_renamed_file_late_are_not_lost(proxy: Proxy) -> None:
    """The proxy makes the new file a moment before its worker writes to it."""
    proxy.write(3)
    assert proxy.follow() == 3
    renamed = proxy.rotate()
    proxy.path.touch()
    proxy.write(1, renamed)
    assert proxy.follow() == 1
    proxy.write(2, renamed)
    assert (proxy.follow(), proxy.follow()) == (2, 0)
    proxy.write(1, renamed)
    proxy.write(1)
    assert proxy.follow() == 2
    assert proxy.counted == 8


def test_much_is_read_in_several_looks(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a renamed file, which is not left before its end."""
    monkeypatch.setattr(log_follower, "BYTES_AT_ONCE", 2000)
    monkeypatch.setattr(log_follower, "BLOCK_BYTES", 1000)
    proxy.write(1)
    proxy.follow()
    proxy.write(30)
    looks = 0
    proxy.rotate()
    proxy.write(30)
    while proxy.follow():
        looks += 1
    assert looks > 5
    assert proxy.counted == 61


def test_a_line_too_long_to_be_one_is_passed_over(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those around it count."""
    monkeypatch.setattr(log_follower, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(log_follower, "LINE_BYTES_AT_MOST", 3000)
    assert access_log_sources.LINE_BYTES_AT_MOST > 3000
    proxy.write(1)
    with proxy.path.open("ab") as stream:
        stream.write(b"x" * 50_000)
    assert proxy.follow() == 1
    with proxy.path.open("ab") as stream:
        stream.write(b"y" * 5_000 + b"\n" + proxy.line())
    summary = log_follower.follow(proxy.world.use, proxy.path)
    assert summary.matched == 1
    assert proxy.counted == 2


def test_a_crash_between_two_looks_doubles_nothing(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is written in the transaction that counts: either both are kept, or the lines are read again."""
    monkeypatch.setattr("server.domain.delivery.reconciliation_run.BATCH_LINES", 10)
    monkeypatch.setattr(log_follower, "BLOCK_BYTES", 4000)
    proxy.write(35)
    with monkeypatch.context() as patch:
        patch.setattr(log_follower, "_remember", lambda *_: (_ for _ in ()).throw(InterruptedError()))
        with pytest.raises(InterruptedError):
            proxy.follow()
    assert 0 < proxy.counted < 35
    before = proxy.counted
    assert proxy.follow() == 35 - before
    assert proxy.counted == 35


def test_results_are_told_by_the_hour(proxy: Proxy) -> None:
    """At the first look, then every hour with what came since, also when the log went quiet in between."""
    world = proxy.world

    def told() -> list[tuple[int, int]]:
        return [(record["matched"], record["logs"]) for record in world.records("reconciliation")]

    proxy.write(1)
    proxy.follow()
    for lines in (2, 3):
        world.clock.advance(timedelta(seconds=1))
        proxy.write(lines)
        proxy.follow()
    assert told() == [(1, 1)]
    world.clock.advance(RECORDED_EVERY)
    proxy.follow()
    assert told() == [(1, 1), (5, 1)]
    world.clock.advance(RECORDED_EVERY)
    proxy.follow()
    assert told() == [(1, 1), (5, 1)]
    proxy.write(4)
    proxy.follow()
    assert told() == [(1, 1), (5, 1), (4, 1)]


def test_a_foreign_fetch_is_an_alarm_at_the_next_look(world: World, tmp_path: Path) -> None:
    """Not by the hour, and once."""
    proxy = Proxy(world, tmp_path / "access.log")
    for _ in range(3):
        line = read_of(proxy.download, world.use.clock(), bytes_sent=1, address="127.1.0.1")
        with proxy.path.open("ab") as stream:
            stream.write(embedded_line(line).encode() + b"\n")
        proxy.follow()
    assert [record["alarm"] for record in world.records("alarm")] == ["foreign_address"]
    with world.use.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(FollowedLog)) == 1
