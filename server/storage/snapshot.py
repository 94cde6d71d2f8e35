"""Snapshots: one consistent copy of the database, taken while it is in use, and put back."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.engine import URL

PAGES_A_STEP = 2000  # then writers get their turn


class SnapshotError(Exception):
    """The copy could not be made or put back; the text says why."""


def take(url: str, target: Path) -> None:
    """Write a consistent copy of the database to `target`, which must not be there yet."""
    target.touch(mode=0o600, exist_ok=False)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        source = sqlite3.connect(f"file:{parsed.database}?mode=ro", uri=True)
        copy = sqlite3.connect(target)
        try:
            source.backup(copy, pages=PAGES_A_STEP)
        except sqlite3.Error as error:
            raise SnapshotError(f"cannot copy the database: {error}") from None
        finally:
            copy.close()
            source.close()
    else:
        _postgresql(["pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], parsed)


def put_back(source: Path, url: str) -> None:
    """Make the database at `url`, which must be new and empty, from a copy."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        target = Path(str(parsed.database))
        if target.exists():
            raise SnapshotError(f"{target} is there already: a backup is put back into a new folder only")
        shutil.copyfile(source, target)
        target.chmod(0o600)
    else:
        _postgresql(["pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", str(source)], parsed)


def _postgresql(command: list[str], url: URL) -> None:
    """Run one of PostgreSQL's own tools; the password goes through the environment, never the command line."""
    if shutil.which(command[0]) is None:
        raise SnapshotError(f"{command[0]} is not installed: install the server's PostgreSQL client tools")
    environment = os.environ | {
        "PGHOST": url.host or "",
        "PGPORT": str(url.port or 5432),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
    }
    if command[0] == "pg_restore":
        command = [*command[:1], f"--dbname={url.database}", *command[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SnapshotError(f"{command[0]} failed: {last}")
