"""Snapshots: one consistent copy of the database, taken while it is in use, and put back."""

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL

_VERSIONS = re.compile(r"server version: ([0-9.]+)[^;]*; pg_\w+ version: ([0-9.]+)")


class SnapshotError(Exception):
    """The copy could not be made or put back; the text says why."""


def take(url: str, target: Path) -> None:
    """Write a consistent copy of the database to `target`, which must not be there yet."""
    target.touch(mode=0o600, exist_ok=False)
    parsed = make_url(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            _copy_sqlite(Path(str(parsed.database)), target)
        else:
            _postgresql(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], parsed)
    except (SnapshotError, OSError):
        target.unlink()  # half a copy helps nobody, and takes what room there was
        raise


def put_back(source: Path, url: str) -> None:
    """Make the database at `url`, which must be new and empty, from a copy."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        target = Path(str(parsed.database))
        if target.exists():
            raise SnapshotError(f"{target} already exists: restore a backup to a new folder")
        target.touch(mode=0o600)
        shutil.copyfile(source, target)
    else:
        _postgresql(["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(source)], parsed)


def kind_of(copy: Path) -> str:
    """Of which kind of database a copy is, as its URL begins."""
    with copy.open("rb") as stream:
        return "sqlite" if stream.read(15) == b"SQLite format 3" else "postgresql"


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy in one step: in WAL mode that keeps no writer waiting, and in several, each write would start it anew."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            reading.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, whole by itself
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:  # of the copy: nothing is written to the source
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
        raise SnapshotError(f"cannot copy the database to {target}: {error}") from None


def _postgresql(command: list[str], url: URL) -> None:
    """Run one of PostgreSQL's own tools; the password goes through the environment, never the command line."""
    if shutil.which(command[0]) is None:
        raise SnapshotError(f"{command[0]} is not installed: install the server's PostgreSQL client tools")
    environment = os.environ | {"PGPASSWORD": str(url.password or "")}
    # `query` holds sslmode and the like.
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    named = address.render_as_string().replace(" ", "%20")  # which SQLAlchemy leaves as it is, and libpq refuses
    command = [command[0], f"--dbname={named}", *command[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        if versions := _VERSIONS.search(done.stderr):
            raise SnapshotError(
                f"{command[0]} is version {versions[2]}, older than the server's {versions[1]}: install "
                f"postgresql-client-{versions[1].partition('.')[0]}, and remove the older one or put it later on PATH"
            )
        lines = done.stderr.strip().splitlines() or ["no message"]
        first = next((line for line in lines if "error:" in line), lines[-1])  # what follows quotes its statement
        raise SnapshotError(f"{command[0]} failed: {first}")
