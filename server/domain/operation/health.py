"""Health: what each part of the instance does now, in figures for the metrics and in words for operators."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import make_url

from server import dates
from server.domain.audit import heartbeat, log_status, mirror, sealer
from server.domain.audit.log_status import Status
from server.domain.mail import mails
from server.domain.operation import doctor
from server.domain.operation.doctor import CLOCK_SKEW_SECONDS
from server.domain.operation.door_probes import Wrong
from server.domain.operation.readiness import NotReady, require_ready
from server.domain.resources import Resources
from server.log.entries import NoLog
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.outside import Answer

LITTLE_ROOM_BYTES = 1 << 30  # issuing stops at far less, and a log grows
BEATS_MISSED_AT_MOST = 3
ANCHORS_MISSED_AT_MOST = 10
MIRRORS_MISSED_AT_MOST = 20
MAIL_WAITS_AT_MOST = timedelta(hours=1)  # a server that is started again makes nobody look
STORE = "object store"  # as `Resources.outside` names it


@dataclass(frozen=True, slots=True)
class Part:
    """One part's state. since: when it was first seen in this state. what_to_do: empty when nothing is."""

    name: str
    ok: bool
    says: str
    what_to_do: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Outbox:
    """Emails. oldest_at: when the one that has waited longest was written."""

    waiting: int
    given_up: int
    oldest_at: datetime | None


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a folder."""

    folder: str  # data, or database where SQLite's is another one
    free_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment. log, outbox: None while the database cannot be asked.

    reconciled_at: when the store's access log was last read; None also where the worker follows it all the time.
    """

    at: datetime
    log: Status | None
    outbox: Outbox | None
    reconciled_at: datetime | None
    disks: tuple[Disk, ...]
    outside: Mapping[str, Answer]
    not_ready: str | None  # why nothing can be issued; None: it can
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)


class Health:
    """Looks at all parts, and remembers since when each is as it is."""

    def __init__(self, use: Resources) -> None:
        self._use = use
        self._before: dict[str, Part] = {}

    def look(self) -> Look:
        """Ask the database and the file system, take what was found of the outside, and try what issuing needs."""
        found = _figures(self._use)
        parts = tuple(self._lasting(part) for part in _parts(self._use, found))
        self._before = {part.name: part for part in parts}
        return replace(found, parts=parts)

    def _lasting(self, part: Part) -> Part:
        before = self._before.get(part.name)
        return part if before is None or before.ok != part.ok else replace(part, since=before.since)


def _figures(use: Resources) -> Look:
    log: Status | None = None
    outbox: Outbox | None = None
    not_ready: str | None = None
    try:
        require_ready(use)
    except NotReady as error:
        not_ready = str(error)
    try:
        log = log_status.known(use)
        with use.database.reading() as session:
            outbox = Outbox(*mails.waiting(session), mails.oldest_waiting(session))
    except (DatabaseUnavailable, NoLog, *DATABASE_ERRORS):
        log = outbox = None  # the part `database` says why
    reconciled_at = None if log is None or use.settings.embedded_store else log.reconciled_at
    disks, outside = tuple(_disks(use)), use.outside.answers()
    return Look(use.clock(), log, outbox, reconciled_at, disks, outside, not_ready, ())


def _disks(use: Resources) -> Iterator[Disk]:
    data = use.settings.folder
    folders = {"data": data}
    if use.database.dialect == "sqlite":
        other = Path(str(make_url(use.database.url).database)).parent
        if other.is_dir() and other.stat().st_dev != data.stat().st_dev:
            folders["database"] = other
    for name, folder in folders.items():
        usage = shutil.disk_usage(folder)
        yield Disk(name, usage.free, usage.total)


def _parts(use: Resources, found: Look) -> Iterator[Part]:
    for name, (check, what_to_do) in _CHECKS.items():
        try:
            yield Part(name, True, check(use, found), "", found.at)
        except Wrong as wrong:
            advice = _CHECKS["database"][1] if wrong.args == (_NOT_KNOWN,) else what_to_do
            yield Part(name, False, "; ".join(wrong.args), advice, found.at)


def _issuing(_: Resources, found: Look) -> str:
    if found.not_ready is not None:
        raise Wrong(found.not_ready)
    return "downloads can be issued"


def _database(use: Resources, _: Look) -> str:
    return doctor.require_database(use)


def _log(_: Resources, found: Look) -> str:
    log = _known(found)
    if log.problems:
        raise Wrong(*log.problems)
    return f"{log.size} entries are sealed, {log.unsealed} wait"


def _anchors(use: Resources, found: Look) -> str:
    log = _known(found)
    if use.settings.anchor_bucket is None:
        return "no anchors are kept"
    if log.anchored_at is None:
        if found.at - log.opened_at > timedelta(seconds=ANCHORS_MISSED_AT_MOST * sealer.ANCHOR_EVERY_SECONDS):
            raise Wrong("the log was never anchored")
        return "the log is new, and not anchored yet"
    _require_recent(
        "the log was last anchored", log.anchored_at, found, ANCHORS_MISSED_AT_MOST * sealer.ANCHOR_EVERY_SECONDS
    )
    return f"last anchored on {dates.minute(log.anchored_at)}"


def _mirror(use: Resources, found: Look) -> str:
    if use.settings.log_mirror is None:
        return "no mirror is kept"
    log = _known(found)
    at = log.mirrored_at or log.opened_at
    if found.at - at > timedelta(seconds=MIRRORS_MISSED_AT_MOST * mirror.MIRROR_EVERY_SECONDS):
        last = "never" if log.mirrored_at is None else f"last on {dates.minute(log.mirrored_at)}"
        raise Wrong(f"the mirror was {last} up to date; it has {log.mirrored_size} of {log.size} entries")
    return f"the mirror has {log.mirrored_size} of {log.size} entries"


def _witnesses(use: Resources, found: Look) -> str:
    if not use.settings.witnesses:
        return "no outside witness is named"
    seen = _known(found).witnesses
    wrong = [f"{one.name}: {one.fault}" for one in seen if one.contradicts or one.away]
    if wrong:
        raise Wrong(*wrong)
    return f"{len(seen)} witnesses cosign the log"


def _worker(_: Resources, found: Look) -> str:
    beat_at = _known(found).beat_at
    if beat_at is None:
        raise Wrong("the worker has never run")
    _require_recent(
        "the worker last gave a sign of life", beat_at, found, BEATS_MISSED_AT_MOST * heartbeat.INTERVAL_SECONDS
    )
    return f"last sign of life on {dates.minute(beat_at)}"


def _store(_: Resources, found: Look) -> str:
    answer = found.outside.get(STORE)
    if answer is None:
        return "not asked yet"
    if not answer.answered:
        raise Wrong("the object store does not answer")
    return "the object store answers"


def _clock(_: Resources, found: Look) -> str:
    wrong = [
        f"the clock of the {name} is {answer.ahead_seconds:+.0f} s from this machine's"
        for name, answer in found.outside.items()
        if answer.ahead_seconds is not None and abs(answer.ahead_seconds) > CLOCK_SKEW_SECONDS
    ]
    if wrong:
        raise Wrong(*wrong)
    return "all clocks that were asked agree with this machine's"


def _disk(_: Resources, found: Look) -> str:
    tight = [disk for disk in found.disks if disk.free_bytes < LITTLE_ROOM_BYTES]
    if tight:
        raise Wrong(*(f"only {disk.free_bytes >> 20} MiB are left for the {disk.folder}" for disk in tight))
    return ", ".join(f"{disk.free_bytes >> 30} GiB are left for the {disk.folder}" for disk in found.disks)


def _mail(use: Resources, found: Look) -> str:
    if found.outbox is None:
        raise Wrong(_NOT_KNOWN)
    if use.settings.smtp_url is None:
        return "no mail server is set" if not use.settings.development_mails else "emails are shown, not sent"
    oldest = found.outbox.oldest_at
    if oldest is not None and found.at - oldest > MAIL_WAITS_AT_MOST:
        raise Wrong(f"{found.outbox.waiting} emails wait, the oldest since {dates.minute(oldest)}")
    return f"{found.outbox.waiting} emails wait"


def _known(found: Look) -> Status:
    if found.log is None:
        raise Wrong(_NOT_KNOWN)
    return found.log


def _require_recent(what: str, at: datetime, found: Look, within_seconds: float) -> None:
    if found.at - at > timedelta(seconds=within_seconds):
        raise Wrong(f"{what} on {dates.minute(at)}")


_NOT_KNOWN = "not known while the database cannot be used"
# Each with what to do when it is not as it should be; the anchors are sections of deploy/runbooks.md.
_CHECKS: dict[str, tuple[Callable[[Resources, Look], str], str]] = {
    "issuing": (_issuing, "Look at the other parts first. deploy/runbooks.md#nothing-can-be-issued"),
    "database": (_database, "Start the database, or make room for it. deploy/runbooks.md#the-database-is-unreachable"),
    "log": (_log, "Run `weightgate-server log status`. deploy/runbooks.md#the-log-is-stopped"),
    "anchors": (_anchors, "Look at the worker and at the anchor bucket. deploy/runbooks.md#the-log-is-not-anchored"),
    "mirror": (
        _mirror,
        "See what the worker says about `mirror`. deploy/runbooks.md#the-mirror-is-behind",
    ),
    "witnesses": (_witnesses, "Run `weightgate-server log status`. deploy/runbooks.md#a-witness-does-not-cosign"),
    "worker": (_worker, "Start the worker. deploy/runbooks.md#the-worker-is-not-running"),
    "store": (_store, "Start the store, or mend the way to it. deploy/runbooks.md#the-store-does-not-answer"),
    "clock": (_clock, "Run an NTP client on both machines. deploy/runbooks.md#clocks-differ"),
    "disk": (_disk, "Make room. deploy/runbooks.md#the-disk-is-filling-up"),
    "mail": (_mail, "Run `weightgate-server doctor`, which tries the mail server. deploy/runbooks.md#emails-wait"),
}
