"""Group commit for SQLite: many callers, one writer, one sync to disk for all who came together.

SQLite lets one connection write at a time and pays one disk sync a commit. Callers of one process that want little put
their work into a queue; whoever finds nobody at it does all that is queued, each piece in a savepoint of its own, and
commits once. Between processes a file lock does what SQLite's own polling does badly (it starves).
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from server.storage.statements import DRIVER

Result = TypeVar("Result")

MEMBERS_AT_MOST = 64
RETRY_SECONDS = 0.0003


class WriterBusy(Exception):
    """Nobody got to write in time, or the commit failed: what was asked may be stored or not."""


class _Job(Generic[Result]):
    """One caller's work, and what came of it. is_statement: it is one statement, given the driver's connection."""

    def __init__(self, work: Callable[[Any], Result], *, is_statement: bool = False) -> None:
        self.work = work
        self.is_statement = is_statement
        self.result: Result
        self.failure: BaseException | None = None
        self.is_leader = False
        self.finished = False
        self._wake = threading.Lock()  # cheaper than an Event: taken now, given back once
        self._wake.acquire()

    def wait(self, seconds: float) -> bool:
        return self._wake.acquire(timeout=seconds)

    def wake(self) -> None:
        self._wake.release()


class GroupCommit:
    """Owns the one writing connection of a process. Safe for threads; not for use after a fork.

    The connection is kept, and its transactions are begun and ended at the driver: SQLAlchemy knows only of those that
    hold work by a session. To take it from a pool for each group and to begin there costs more than an entry does.
    """

    def __init__(self, engine: Engine, lock_file: Path, wait_seconds: float) -> None:
        self._engine = engine
        self._lock_file = lock_file
        self._wait_seconds = wait_seconds
        self._descriptor: int | None = None
        self._kept: Connection | None = None
        self._writing = threading.Lock()
        self._queue: deque[_Job[Any]] = deque()
        self._guard = threading.Lock()  # of the queue, and of whether somebody is at it
        self._led = False

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """Yield a session in a transaction of its own; it is committed when the block has been left without an error.

        Raises WriterBusy when no turn came in time or the commit failed.
        """
        with self._transaction() as connection:
            with _savepoint(connection) as session:
                yield session
            self._commit_or_fail(connection)

    def together(self, work: Callable[[Session], Result]) -> Result:
        """Run `work` in a transaction shared with whoever else comes now; return its result once that is committed.

        An error of `work` undoes this work alone. It may run in another caller's thread. Raises WriterBusy as `alone`.
        """
        return self._in_turn(_Job(work))

    def one_statement(self, work: Callable[[Any], Result]) -> Result:
        """The same for work that runs one statement on the driver's connection: SQLite undoes that by itself."""
        return self._in_turn(_Job(work, is_statement=True))

    def _in_turn(self, job: _Job[Result]) -> Result:
        with self._guard:
            self._queue.append(job)
            job.is_leader, self._led = not self._led, True
        # Twice the limit: once for the group that is being written, once for the one that this work is in.
        limit = 2 * self._wait_seconds
        if not job.is_leader and not job.wait(limit) and not self._given_up(job):
            job.wait(limit)
        if job.is_leader and not job.finished:
            self._lead()
        if job.failure is not None:
            raise job.failure
        if not job.finished:
            raise WriterBusy
        return job.result

    def connection(self) -> Connection:
        """The writing connection; for whoever has the turn."""
        if self._kept is None:
            self._kept = self._engine.connect()
        return self._kept

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _given_up(self, job: _Job[Any]) -> bool:
        """Take a job back that nobody has begun; False when somebody has, so that its end must be waited for."""
        with self._guard:
            if job in self._queue and not job.is_leader:
                self._queue.remove(job)
                return True
        return False

    def _lead(self) -> None:
        """Do what is queued, commit it, tell everyone, and make the next in the queue the leader."""
        jobs: list[_Job[Any]] = []
        try:
            with self._transaction() as connection:
                jobs += self._taken()
                done = [job for job in jobs if _did(job, connection)]
                if done:
                    self._commit_or_fail(connection)
                for job in done:
                    job.finished = True
        except BaseException as error:
            # Nobody's work is known to be stored now, whether it was done already or not yet begun.
            for job in jobs or (jobs := self._taken()):
                job.failure = job.failure or _lost(error)
        finally:
            self._hand_over()
            for job in jobs:
                job.wake()

    def _taken(self) -> list[_Job[Any]]:
        with self._guard:
            return [self._queue.popleft() for _ in range(min(len(self._queue), MEMBERS_AT_MOST))]

    def _hand_over(self) -> None:
        with self._guard:
            self._led = bool(self._queue)
            if self._queue:
                self._queue[0].is_leader = True
                self._queue[0].wake()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Yield the writing connection inside a transaction; what is not committed in the block is rolled back."""
        deadline = time.monotonic() + self._wait_seconds  # for the turn and the lock together
        if not self._writing.acquire(timeout=self._wait_seconds):
            raise WriterBusy
        try:
            self._lock(deadline)
            try:
                yield from self._begun()
            finally:
                self._unlock()
        finally:
            self._writing.release()

    def _begun(self) -> Iterator[Connection]:
        connection = self.connection()
        driver = _driver(connection)
        try:
            driver.execute("BEGIN IMMEDIATE")
            yield connection
            _undo_rest(connection)
        except BaseException as error:
            if isinstance(error, WriterBusy) or not _could_undo_rest(connection):
                # A commit that failed, or work that was lost, may leave a transaction open, and with it SQLite's lock:
                # what state the connection is in is known only once it is closed.
                self._kept = None
                connection.invalidate()
                connection.close()
            raise

    def _commit_or_fail(self, connection: Connection) -> None:
        try:
            self._commit(connection)
        except BaseException as error:
            raise WriterBusy from error

    def _commit(self, connection: Connection) -> None:
        if connection.in_transaction():
            connection.commit()
        else:
            _driver(connection).commit()

    def _lock(self, deadline: float) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # flock has no time limit of its own, and a frozen holder must not freeze us.
                if time.monotonic() > deadline:
                    raise WriterBusy from None
                time.sleep(RETRY_SECONDS)
            else:
                return

    def _unlock(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _undo_rest(connection: Connection) -> None:
    """Roll back what was not committed."""
    connection.rollback()
    if _driver(connection).in_transaction:  # of which SQLAlchemy was not told
        _driver(connection).rollback()


def _could_undo_rest(connection: Connection) -> bool:
    try:
        _undo_rest(connection)
    except (sqlite3.Error, DBAPIError):
        return False
    return True


def _lost(error: BaseException) -> WriterBusy:
    """What a member of a lost group is told; it keeps why the group was lost."""
    busy = WriterBusy()
    busy.__cause__ = error
    return error if isinstance(error, WriterBusy) else busy


def _did(job: _Job[Any], connection: Connection) -> bool:
    """Do one piece of work; whether it is to be committed. Its own error is its caller's, a lost group everyone's."""
    try:
        if job.is_statement:
            job.result = _run(job, connection)
        else:
            with _savepoint(connection) as session:
                job.result = job.work(session)
    except WriterBusy:
        raise
    except BaseException as error:
        job.failure = error
        return False
    return True


def _run(job: _Job[Result], connection: Connection) -> Result:
    """A full disk makes SQLite undo everybody's work: then the whole group has failed."""
    driver = _driver(connection)
    try:
        return job.work(driver)
    except BaseException as error:
        if not driver.in_transaction:
            raise WriterBusy from error
        raise


@contextmanager
def _savepoint(connection: Connection) -> Iterator[Session]:
    """Yield a session whose work, by the ORM or by the driver, is undone alone when the block fails."""
    driver = _driver(connection)
    if not connection.in_transaction():
        connection.begin()  # tells SQLAlchemy alone: the driver is in one already
    driver.execute("SAVEPOINT member")
    session = Session(
        connection, expire_on_commit=False, join_transaction_mode="create_savepoint", info={DRIVER: driver}
    )
    try:
        yield session
        if session.in_transaction() or session.new:
            session.commit()
        session.close()
        driver.execute("RELEASE member")
    except BaseException:
        _undo(session, driver)
        raise


def _undo(session: Session, driver: Any) -> None:
    """Take back one member's work. A full disk makes SQLite undo everybody's: then the whole group has failed."""
    try:
        session.close()  # rolls back to its own savepoint, which is gone as well when SQLite has undone everything
        driver.execute("ROLLBACK TO member")
        driver.execute("RELEASE member")
    except (sqlite3.Error, DBAPIError) as error:
        raise WriterBusy from error
