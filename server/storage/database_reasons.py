"""Why the database cannot be used, in words: from the drivers' codes, never their text, which may quote parameters."""

import sqlite3
from collections.abc import Iterator

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

UNKNOWN = "it does not respond: start it, or correct database_url"

# SQLite's primary result codes (https://sqlite.org/rescode.html); the extended ones begin with their name.
_SQLITE = {
    "SQLITE_FULL": "its disk is full: make room",
    "SQLITE_READONLY": "it is read-only: check who owns the file and its folder, and how they are mounted",
    "SQLITE_BUSY": "another process is writing to it",
    "SQLITE_LOCKED": "another process is writing to it",
    "SQLITE_CANTOPEN": "its file cannot be opened: check that it exists and that this user can read and write it",
    "SQLITE_IOERR": "its disk reports an error",
    "SQLITE_CORRUPT": "its file is damaged: restore a backup",
    "SQLITE_NOTADB": "its file is not a database",
    "SQLITE_PERM": "this user is not allowed to open its file",
}
# PostgreSQL's SQLSTATE (its manual, appendix A); two characters stand for a whole class.
_POSTGRESQL = {
    "25006": "it is read-only: set database_url to the primary",
    "53100": "its disk is full: make room",
    "53200": "it is out of memory",
    "53300": "it has too many connections: raise its max_connections, or run fewer processes",
    "42501": "this role lacks the required rights: run `weightgate-server migrate` to grant them",
    "42P01": "its tables are missing: run `weightgate-server migrate`",
    "55P03": "another transaction has locked what is needed",
    "57014": "it took too long",
    "57P01": "it is shutting down",
    "57P02": "it is shutting down",
    "57P03": "it is starting or shutting down",
    "28": "it rejects this user or password: correct database_url",
    "3D000": "it has no database with that name: create it, or correct database_url",
    "08": "the connection was lost",
    "58": "its disk reports an error",
    "XX": "it reports an internal error: check its log",
}
# What libpq says without a code, when no connection comes about: matched, never repeated.
_CONNECTING = {
    "too many clients": _POSTGRESQL["53300"],
    "too many connections": _POSTGRESQL["53300"],
    "remaining connection slots are reserved": _POSTGRESQL["53300"],
    "password authentication failed": _POSTGRESQL["28"],
    "no pg_hba.conf entry": "it does not accept connections from this address: see its pg_hba.conf",
    "starting up": _POSTGRESQL["57P03"],
    "shutting down": _POSTGRESQL["57P01"],
    "does not exist": _POSTGRESQL["3D000"],
    "Connection refused": "nothing listens at its address: start it, or correct database_url",
    "resolve host": "its host name is unknown: correct database_url",
    "not known": "its host name is unknown: correct database_url",
    "timeout expired": UNKNOWN,
    "timed out": UNKNOWN,
    "server closed the connection": _POSTGRESQL["08"],
    "connection is closed": _POSTGRESQL["08"],
    "connection is lost": _POSTGRESQL["08"],
}


def reason(error: BaseException, otherwise: str = UNKNOWN) -> str:
    """Return the first reason that the error, or what led to it, has a code for, as a clause about "it"."""
    return next(filter(None, map(_known, _chain(error, set()))), otherwise)


def is_damaged(error: DBAPIError | sqlite3.DatabaseError) -> bool:
    """Whether SQLite says that its file is none of its own, or no longer."""
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    return code & 0xFF in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error, the driver's own inside SQLAlchemy's, and what was being handled when each was raised."""
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        for before in (getattr(error, "orig", None), error.__cause__, error.__context__):
            yield from _chain(before, seen)


def _known(error: BaseException) -> str | None:
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", None) or ""
        return next((words for code, words in _SQLITE.items() if name.startswith(code)), None)
    if isinstance(error, psycopg.Error):
        if error.sqlstate is not None:
            return _POSTGRESQL.get(error.sqlstate) or _POSTGRESQL.get(error.sqlstate[:2])
        text = str(error)
        return next((words for part, words in _CONNECTING.items() if part in text), None)
    if isinstance(error, PoolTimeout):
        return "all of this process's connections are in use"
    return None
