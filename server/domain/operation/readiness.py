"""Readiness: could a download be issued now? What issuing needs is tried, and undone."""

import os
import shutil
import threading
import time
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from server import migrations
from server.domain.entry_kinds import EntryKind
from server.domain.resources import Resources
from server.log import condition, entries
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.outside import OutsideFault

TRIED_AGAIN_AFTER_SECONDS = 1
ROWS_THAT_SPILL = 10_000  # out of 64 kB of memory, into a file of some 200 kB
FREE_BYTES_AT_LEAST = 16 << 20  # on SQLite's disk: entries are small, but its own files grow in steps


class NotReady(Exception):
    """Nothing could be issued now; the text says why, and what to do."""


class Readiness:
    """Remembers what was found for a second, so that whoever asks often costs one write a second. Safe for threads."""

    def __init__(self, use: Resources) -> None:
        self._use = use
        self._trying = threading.Lock()
        self._tried_at = -float(TRIED_AGAIN_AFTER_SECONDS)
        self._is_ready = False

    def is_ready(self) -> bool:
        """Whether a download could be issued, as found within the last second."""
        with self._trying:
            if time.monotonic() >= self._tried_at + TRIED_AGAIN_AFTER_SECONDS:
                try:
                    require_ready(self._use)
                    self._is_ready = True
                except NotReady:
                    self._is_ready = False
                self._tried_at = time.monotonic()
            return self._is_ready


def require_ready(use: Resources) -> None:
    """Raise NotReady unless the schema, the log, the disk and a write of an entry are as issuing needs them."""
    try:
        use.outside.require()
        use.url_lifetime_seconds()
        _require_room(use)
        with use.database.reading() as session:
            if (difference := migrations.difference(session.connection())) is not None:
                raise NotReady(difference)
            condition.require_sound(session, use.clock())
        _try_an_entry(use)
    except (DatabaseUnavailable, NoLog, LogUnsound, OutsideFault) as error:
        raise NotReady(str(error)) from None
    except DATABASE_ERRORS as error:
        raise NotReady(f"the database refused an operation that issuing needs ({type(error).__name__})") from None


def _require_room(use: Resources) -> None:
    """What is undone is not written out, so a full disk would not show: PostgreSQL is made to write a temporary file,
    and SQLite, which notices even a folder that cannot be written only at its next start, is asked about its disk.
    """
    if use.database.dialect != "sqlite":
        with use.database.transaction() as session:
            session.execute(text("SET LOCAL work_mem = '64kB'"))
            session.execute(text("SELECT count(*) FROM generate_series(1, :rows)"), {"rows": ROWS_THAT_SPILL})
        return
    folder = Path(str(make_url(use.database.url).database)).parent
    if not os.access(folder, os.W_OK):
        raise NotReady(f"the database folder {folder} is not writable: check its owner and mount options")
    if (free := shutil.disk_usage(folder).free) < FREE_BYTES_AT_LEAST:
        raise NotReady(f"the disk of the database has only {free >> 20} MiB left: make room")


class _Undone(Exception):
    """Ends the trial's transaction, so that nothing of it stays."""


def _try_an_entry(use: Resources) -> None:
    def append(session: Session) -> None:
        entries.append(session, kind=EntryKind.HEARTBEAT, at=use.clock(), record={})
        raise _Undone

    try:
        use.database.together(append)
    except _Undone:
        return
