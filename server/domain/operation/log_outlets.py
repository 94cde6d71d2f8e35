"""Outlets of the log, looked at by `doctor`: the mirror, and the months."""

from datetime import timedelta

from server.domain.audit import logs, mirror, months
from server.domain.audit.mirror import MirrorDiffers
from server.domain.audit.months import SETTLED_AFTER
from server.domain.operation import bootstrap
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.log.archived import archives
from server.log.sealing import newest_head

MIRRORED_WITHIN = timedelta(minutes=10)


def mirrored(use: Resources) -> str:
    """The mirror has a head of this log, and not an old one. Raises Wrong, ObjectStoreError, KeyFileError."""
    if use.log_mirror is None:
        return "none: readers of the log read it here"
    if not bootstrap.has_begun(use):
        raise Wrong("not compared: there is no log yet")
    with use.database.reading() as session:
        log = logs.current(session)
        newest, told = newest_head(session, log.id), mirror.mirrored(session, log)
    try:
        found = mirror.head_in(use.log_mirror, log)
    except MirrorDiffers as error:
        raise Wrong(str(error)) from None
    size = 0 if newest is None else newest.size
    there = 0 if found is None else found.size
    is_late = told is None or told.mirrored_at is None or use.clock() - told.mirrored_at > MIRRORED_WITHIN
    if there != size and is_late:
        raise Wrong(
            f"the mirror {use.settings.log_mirror} has {there} of {size} entries: start the worker, and see what it "
            "says about `mirror`"
        )
    return f"the mirror {use.settings.log_mirror} has {there} of {size} entries"


def months_are_kept(use: Resources) -> str:
    """Each finished month of the log has its file. Raises Wrong, ObjectStoreError, KeyFileError."""
    if use.log_months is None:
        known = _archived(use) if bootstrap.has_begun(use) else []
        if known:
            raise Wrong(
                f"the records of {', '.join(known)} were archived, and the settings have no log_months: put it back"
            )
        return "none: months of the log are not written as Parquet"
    late = [
        month for month in months.missing(use)
        if use.clock() - month.until > SETTLED_AFTER + 2 * timedelta(seconds=months.KEEP_EVERY_SECONDS)
    ]  # fmt: skip
    with use.log_reading.newest() as session:
        gone = [archive for archive in archives(session).values() if archive.month in map(str, late)]
    if gone:
        raise Wrong(
            f"{use.settings.log_months} lacks {', '.join(one.file for one in gone)}, and no other place has the "
            f"records of the archived {', '.join(one.month for one in gone)}: put it back"
        )
    if late:
        raise Wrong(
            f"{use.settings.log_months} lacks {', '.join(map(str, late))}: start the worker, and see what it says "
            "about `months`"
        )
    return f"every finished month of the log is in {use.settings.log_months}"


def _archived(use: Resources) -> list[str]:
    with use.log_reading.newest() as session:
        return sorted(archives(session))
