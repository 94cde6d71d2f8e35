"""The rows about the logs: `logs` against what the logs' own entries say, `anchored_logs` against the anchors."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from server import dates
from server.domain.audit import logs
from server.domain.audit.judging.world import Record
from server.log.entries import Log
from server.log.sealing import newest_head
from server.log.verification import Fault

OPENED_WITHIN = timedelta(hours=1)  # from the row to its first entry: the log before was sealed to its end meanwhile
TOLD_WITHIN = timedelta(minutes=2)  # after an anchor was written


def faults(log: Log, opening: Record, closing: Record, after: Record | None) -> Iterator[Fault]:
    """Yield what a log's row says and its entries do not.

    opening, closing: its first and last record; after: the first one of the log that continues it.
    """
    where = f"log {log.origin}"
    if log.name != log.origin.rpartition("/")[2] or opening.get("origin", log.origin) != log.origin:
        yield Fault(where, "its first entry names a different origin")
    if not isinstance(opened := opening.get("time"), int) or abs(dates.milliseconds(log.created_at) - opened) > _in_ms(
        OPENED_WITHIN
    ):
        yield Fault(where, "its row has a different opening time than its first entry")
    if after is None:
        if log.closed_at is not None:
            yield Fault(where, "its row says that it is closed, but no entry closes it")
    elif log.closed_at is None:
        yield Fault(where, "its row does not say that it is closed, but another log continues it")
    else:
        told = after if after.get("abandoned") else closing
        if dates.milliseconds(log.closed_at) != told.get("time"):
            yield Fault(where, "its row has a different closing time than the entry that closed it")


def anchored_faults(session: Session, log: Log, anchored: list[int] | None, now: datetime) -> Iterator[Fault]:
    """Yield what `anchored_logs` says of a log and its anchors do not.

    anchored: the sizes of its anchors, rising; None where none are kept. The row may be one anchor behind, for as long
    as a worker needs to write it.
    """
    row, newest = logs.anchored(session, log), newest_head(session, log.id)
    size = 0 if row is None else row.size
    if size > (newest.size if newest else 0):
        yield Fault(f"anchored log {log.origin}", "its row says that more entries were anchored than sealed")
        return
    if not anchored or size == anchored[-1] or newest is None or anchored[-1] > newest.size:
        return  # where the log is behind its anchors, that is what is told
    before = anchored[-2] if len(anchored) > 1 else 0
    if size == before and now - newest.sealed_at < TOLD_WITHIN:
        return
    yield Fault(
        f"anchored log {log.origin}", f"its row says that {size} entries were anchored, but {anchored[-1]} were"
    )


def _in_ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)
