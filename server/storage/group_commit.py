"""Group commit for SQLite: many callers, one writer, one sync to disk for all who came together.

SQLite lets one connection write at a time and pays one disk sync a commit. Callers of one process take turns inside a
shared transaction, each in a savepoint of its own; the last of the group commits for all, and everyone leaves only
when that commit is done. Between processes a file lock does what SQLite's own polling does badly (it starves).
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

MEMBERS_AT_MOST = 64
COMMIT_WAIT_SECONDS = 30


class WriterBusy(Exception):
    """Nobody got to write in time, or the group's commit failed."""


class _Group:
    """Callers that share one commit."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.members = 0
        self.finished = threading.Event()
        self.failure: BaseException | None = None


class GroupCommit:
    """Hands the one writing connection from caller to caller. Safe for threads; not for use after a fork."""

    def __init__(self, engine: Engine, lock_file: Path, wait_seconds: float) -> None:
        self._engine = engine
        self._lock_file = lock_file
        self._wait_seconds = wait_seconds
        self._descriptor: int | None = None
        self._turn = threading.Condition()
        self._taken = False
        self._waiting = 0
        self._group: _Group | None = None

    @contextmanager
    def member(self) -> Iterator[Session]:
        """Yield a session inside the group's transaction; return when the group has committed.

        An error inside undoes this member's work only, and is raised at once. Raises WriterBusy when no turn came in
        time or the commit failed.
        """
        group = self._enter()
        try:
            with _savepoint(group) as session:
                yield session
        finally:
            # Whatever happened to this member, the others' work still has to be committed.
            self._leave(group)
        if not group.finished.wait(COMMIT_WAIT_SECONDS):
            raise WriterBusy
        if group.failure is not None:
            raise WriterBusy from group.failure

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _enter(self) -> _Group:
        with self._turn:
            self._waiting += 1
            came = self._turn.wait_for(lambda: not self._taken, self._wait_seconds)
            self._waiting -= 1
            if not came:
                raise WriterBusy
            self._taken = True
        try:
            if self._group is None:
                self._group = self._open()
            self._group.members += 1
        except BaseException:
            self._give_turn()
            raise
        return self._group

    def _leave(self, group: _Group) -> None:
        with self._turn:
            if self._waiting and group.members < MEMBERS_AT_MOST and group.failure is None:
                self._taken = False
                self._turn.notify()
                return
        self._close(group)

    def _give_turn(self) -> None:
        with self._turn:
            self._taken = False
            self._turn.notify()

    def _open(self) -> _Group:
        self._lock()
        try:
            connection = self._engine.connect()
            try:
                connection.begin()
            except BaseException:
                connection.close()
                raise
        except BaseException:
            self._unlock()
            raise
        return _Group(connection)

    def _close(self, group: _Group) -> None:
        """Commit for all members; a failure is everyone's, since nobody's work is known to be stored."""
        try:
            if group.failure is None:
                self._commit(group.connection)
        except BaseException as error:
            group.failure = error
        finally:
            try:
                group.connection.close()
            finally:
                self._group = None
                self._unlock()
                group.finished.set()
                self._give_turn()

    def _commit(self, connection: Connection) -> None:
        connection.get_transaction().commit()  # type: ignore[union-attr]  # _open began it

    def _lock(self) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._wait_seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # flock has no time limit of its own, and a frozen holder must not freeze us.
                if time.monotonic() > deadline:
                    raise WriterBusy from None
                time.sleep(0.0005)
            else:
                return

    def _unlock(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@contextmanager
def _savepoint(group: _Group) -> Iterator[Session]:
    try:
        with Session(group.connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as session:
            yield session
            session.commit()
    except BaseException as error:
        # A full disk makes SQLite undo everybody's work, not this member's alone: then the group has failed.
        if not group.connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            group.failure = error
        raise
