"""Group commit: many who write share one sync, and each stands or falls as if alone."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from server.storage import database as database_module
from server.storage.database import Database, DatabaseUnavailable
from server.storage.statements import driver_of

ADD = text("INSERT INTO notes (number) VALUES (:number)")


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An empty SQLite database whose writers lose patience soon."""
    monkeypatch.setattr(database_module, "LOCK_WAIT_SECONDS", 0.3)
    made = Database(f"sqlite:///{tmp_path}/notes.sqlite3")
    with made.transaction() as session:
        session.execute(text("CREATE TABLE notes (number INTEGER PRIMARY KEY)"))
    yield made
    made.close()


def numbers(database: Database) -> list[int]:
    with database.reading() as session:
        return list(session.scalars(text("SELECT number FROM notes ORDER BY number")))


def writes(number: int) -> Callable[[Session], int]:
    def work(session: Session) -> int:
        session.execute(ADD, {"number": number})
        return number

    return work


@contextmanager
def counted_commits(database: Database) -> Iterator[list[Engine]]:
    commits: list[Any] = []

    def count(connection: Any) -> None:
        commits.append(connection)

    event.listen(database._writer, "commit", count)
    yield commits
    event.remove(database._writer, "commit", count)


def queued(database: Database, count: int) -> None:
    """Wait until so many wait for the group that comes next."""
    deadline, pause = time.monotonic() + 10, threading.Event()
    while len(database._group._queue) < count:
        assert time.monotonic() < deadline
        pause.wait(0.001)


def in_one_group(database: Database, works: list[Callable[[Session], Any]]) -> list[Any]:
    """Run pieces of work so that they share one transaction, in their order; returns results or errors."""
    entered, go = threading.Event(), threading.Event()

    def first(_session: Session) -> None:
        entered.set()
        assert go.wait(10)

    with ThreadPoolExecutor(len(works) + 1) as pool:
        before = pool.submit(database.together, first)
        assert entered.wait(10)
        members: list[Future[Any]] = []
        for work in works:
            members.append(pool.submit(database.together, work))
            queued(database, len(members))
        go.set()
        before.result()
        return [member.exception() or member.result() for member in members]


def test_those_who_come_together_pay_for_one_sync(database: Database) -> None:
    """Ten pieces of work in one group are one commit, and each gets its own result."""
    with counted_commits(database) as commits:
        assert in_one_group(database, [writes(number) for number in range(10)]) == list(range(10))
    assert len(commits) <= 2  # the first alone, then all who waited
    assert numbers(database) == list(range(10))


def test_a_member_s_failure_undoes_its_own_work_alone(database: Database) -> None:
    """Those before and after it in the same group are stored."""

    def fails(session: Session) -> None:
        session.execute(ADD, {"number": 100})
        session.execute(ADD, {"number": 0})  # a duplicate of what the member before has written

    found = in_one_group(database, [writes(0), fails, writes(1)])
    assert (found[0], found[2]) == (0, 1)
    assert isinstance(found[1], Exception)
    assert numbers(database) == [0, 1]


def test_many_threads_that_sometimes_fail_store_exactly_what_was_acknowledged(database: Database) -> None:
    """Under a crowd, a third of which fails, nothing is lost and nothing stays that should not."""

    def write(number: int) -> bool:
        def work(session: Session) -> None:
            session.execute(ADD, {"number": number})
            if number % 3 == 0:
                raise KeyError(number)

        try:
            database.together(work)
        except KeyError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        acknowledged = list(pool.map(write, range(150)))
    assert acknowledged == [number % 3 != 0 for number in range(150)]
    assert numbers(database) == [number for number in range(150) if number % 3]


def test_a_commit_that_fails_fails_for_every_member(database: Database) -> None:
    """Nobody is told that it is stored; nothing is; and the next group works."""

    def fail(_connection: Any) -> None:
        raise OSError("the disk is gone")

    works = [writes(1), writes(2), writes(3)]
    entered = threading.Event()

    def arm(_session: Session) -> None:
        event.listen(database._writer, "commit", fail)
        entered.set()

    found = in_one_group(database, [arm, *works])
    assert entered.is_set()
    assert [type(answer) for answer in found] == [DatabaseUnavailable] * 4
    event.remove(database._writer, "commit", fail)
    assert numbers(database) == []
    assert database.together(writes(4)) == 4
    assert numbers(database) == [4]


@pytest.mark.parametrize("orm", [False, True], ids=["by the driver", "by the session"])
def test_when_sqlite_undoes_everybody_s_work_everybody_is_told(database: Database, orm: bool) -> None:
    """A full disk makes SQLite roll the whole transaction back: the members before it must not believe otherwise."""

    def loses_all(session: Session) -> None:
        if orm:
            session.execute(ADD, {"number": 100})
        driver = driver_of(session)
        driver.execute("INSERT INTO notes (number) VALUES (101)")
        driver.execute("ROLLBACK")  # what SQLite does by itself then
        raise OSError("database or disk is full")

    found = in_one_group(database, [writes(0), loses_all, writes(1)])
    acknowledged = {answer for answer in found if isinstance(answer, int)}
    assert acknowledged <= set(numbers(database))
    assert 0 not in numbers(database)
    assert isinstance(found[0], DatabaseUnavailable)
    assert database.together(writes(5)) == 5
    assert 5 in numbers(database)


def test_a_disk_that_is_full_loses_nothing_that_was_acknowledged(database: Database) -> None:
    """The real thing: SQLite's own limit on pages is reached inside a group."""

    def fills(session: Session) -> None:
        session.execute(text("CREATE TABLE big (content BLOB)"))
        session.execute(text("PRAGMA max_page_count = 40"))
        session.execute(text("INSERT INTO big VALUES (zeroblob(1000000))"))

    found = in_one_group(database, [writes(0), fills, writes(1)])
    assert isinstance(found[1], DatabaseUnavailable)
    assert {answer for answer in found if isinstance(answer, int)} == set(numbers(database))
    assert database.together(writes(2)) == 2


HOLDER = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"  # noqa: E501


@contextmanager
def another_process_writes(database: Database) -> Iterator[None]:
    """Another process holds the writers' lock, as a frozen one would."""
    lock_file = str(database._group._lock_file)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.communicate()


def test_a_frozen_writer_elsewhere_freezes_nobody(database: Database) -> None:
    """Whoever waits too long is told so, all of them, in about the time that was promised; and afterwards all works."""

    def alone(number: int) -> None:
        with database.transaction() as session:
            session.execute(ADD, {"number": number})

    with another_process_writes(database), ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        waiting: list[Future[Any]] = [pool.submit(database.together, writes(number)) for number in range(6)]
        waiting += [pool.submit(alone, number) for number in (6, 7)]
        assert {type(member.exception()) for member in waiting} == {DatabaseUnavailable}
        assert time.monotonic() - began < 3
        assert numbers(database) == []  # reading goes on
    assert database.together(writes(9)) == 9
    alone(10)
    assert numbers(database) == [9, 10]


def test_waiting_for_a_turn_and_for_the_lock_share_one_limit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has waited for its turn does not begin to wait anew for the lock of another process."""
    group, left_seconds = database._group, list[float]()
    lock = group._lock

    def watched(deadline: float) -> None:
        left_seconds.append(deadline - time.monotonic())
        lock(deadline)

    started = threading.Event()

    def write() -> None:
        started.set()
        with database.transaction() as session:
            session.execute(ADD, {"number": 1})

    monkeypatch.setattr(group, "_lock", watched)
    with ThreadPoolExecutor(1) as pool:
        with group._writing:
            waiting = pool.submit(write)
            assert started.wait(10)
            threading.Event().wait(0.2)
        waiting.result()
    assert left_seconds[0] < 0.3 - 0.1


def test_impatience_leaves_no_orphan_behind(database: Database) -> None:
    """Under a crowd whose patience runs out at any point: what was acknowledged is stored, and nothing stays stuck."""
    database._group._wait_seconds = 0.004
    slow = threading.Event()

    def write(number: int) -> bool:
        def work(session: Session) -> None:
            session.execute(ADD, {"number": number})
            slow.wait(0.003 * (number % 3))

        try:
            if number % 5:
                database.together(work)
            else:
                with database.transaction() as session:
                    work(session)
        except DatabaseUnavailable:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(write, range(200)))
    database._group._wait_seconds = 5
    stored = set(numbers(database))
    acknowledged = {number for number, answer in enumerate(answers) if answer}
    assert acknowledged
    assert acknowledged <= stored  # more may be stored: who lost patience cannot know
    assert database.together(writes(1000)) == 1000
    with database.transaction() as session:
        session.execute(ADD, {"number": 1001})
    assert (len(database._group._queue), database._group._led) == (0, False)


def test_a_crowd_of_a_group_s_size_and_more_is_served(database: Database) -> None:
    """More than fit into one group come into the next."""
    database._group._wait_seconds = 10
    works = [writes(number) for number in range(70)]
    assert in_one_group(database, works) == list(range(70))
    assert numbers(database) == list(range(70))


def test_the_lock_file_is_private_and_beside_the_database(database: Database) -> None:
    """Whoever could lock it could stop the server."""
    path = database._group._lock_file
    assert path.stat().st_mode & 0o777 == 0o600
    assert str(path).removesuffix(".writer") == database.url.removeprefix("sqlite:///")
