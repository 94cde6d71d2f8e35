"""Entries of the log on pages: each has one number, its place in the log, which is in its address too."""

from flask import g, url_for
from sqlalchemy import select

from server.log.entries import Log, LogEntry
from server.web.identity import resources


def address(entry: LogEntry) -> str:
    """Where an entry is shown; by its row only until it is sealed."""
    if entry.leaf_index is None:
        return url_for("audit_log.show", entry_id=entry.id)
    return url_for("audit_log.at_place", name=_log_names()[entry.log_id], place=entry.leaf_index)


def place(entry: LogEntry) -> str:
    """`71`, or `2026/71` where there is more than one log; `not sealed yet`."""
    if entry.leaf_index is None:
        return "not sealed yet"
    names = _log_names()
    return str(entry.leaf_index) if len(names) == 1 else f"{names[entry.log_id]}/{entry.leaf_index}"


def _log_names() -> dict[int, str]:
    """Of every log, by its key; asked once a request: there is one a year."""
    if "log_names" not in g:
        with resources().database.reading() as session:
            g.log_names = dict(session.execute(select(Log.id, Log.name)).all())
    names: dict[int, str] = g.log_names
    return names
