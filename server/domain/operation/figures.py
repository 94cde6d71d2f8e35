"""Figures: what was last seen of the instance, as metrics. What is not known is left out, rather than shown as 0."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from server.domain.audit.log_status import Status
from server.domain.delivery.alarms import AlarmKind
from server.domain.operation.health import STORE, Look, Outbox

_SHORT = {STORE: "store", "database": "database"}  # of whom the clock is compared with


def of(look: Look | None) -> Iterator[Family]:
    """The metrics of what was seen. None: too long ago to say anything but that."""
    up = look is not None and look.log is not None
    yield _gauge(
        "weightgate_database_up", "Whether the database could be asked just now. If not, what it knows is omitted.", up
    )
    if look is not None and look.log is not None:
        yield from _of_log(look.log, look)
    if look is not None and look.outbox is not None:
        yield from _of_outbox(look.outbox, look.at)
    if look is not None:
        yield from _of_look(look)


def _of_log(log: Status, look: Look) -> Iterator[Family]:
    yield _gauge(
        "weightgate_log_stopped",
        "Whether the log was found changed. Then nothing is issued until people have looked.",
        log.stop_reason is not None,
    )
    yield _gauge("weightgate_log_sealed_entries", "Entries of the current log that are sealed into the tree.", log.size)
    yield _gauge("weightgate_log_unsealed_entries", "Entries of the current log that wait to be sealed.", log.unsealed)
    yield _gauge(
        "weightgate_log_oldest_unsealed_age_seconds", "How long the oldest of them has waited; 0 when none waits.",
        _age(log.oldest_unsealed_at, look.at),
    )  # fmt: skip
    yield from _moment(
        "weightgate_log_anchor_timestamp_seconds",
        "When the log was last found or put in the anchor bucket.",
        log.anchored_at,
    )
    if log.mirror_is_kept:
        yield _gauge(
            "weightgate_log_mirror_missing_entries", "Sealed entries that the mirror does not have yet.",
            max(0, log.size - log.mirrored_size),
        )  # fmt: skip
    yield from _moment(
        "weightgate_log_mirror_timestamp_seconds", "When the mirror last had the newest head.", log.mirrored_at
    )
    yield from _of_witnesses(log)
    yield from _moment(
        "weightgate_worker_heartbeat_timestamp_seconds",
        "When a worker last wrote its heartbeat, on whatever machine.",
        log.beat_at,
    )
    yield from _moment(
        "weightgate_reconciliation_timestamp_seconds", "When the store's access log was last read.", look.reconciled_at
    )
    alarms = CounterMetricFamily(
        "weightgate_alarms", "Alarms about downloads that were raised so far, by kind.", labels=["kind"]
    )
    for kind in AlarmKind:
        alarms.add_metric([kind], log.alarms.get(kind, 0))
    yield alarms


def _of_witnesses(log: Status) -> Iterator[Family]:
    yield _gauge("weightgate_witnesses", "Outside witnesses that the settings name.", len(log.witnesses))
    yield _gauge(
        "weightgate_witnesses_away",
        "How many of them have cosigned nothing for a quarter of an hour, though heads were sealed.",
        sum(one.away for one in log.witnesses),
    )
    yield _gauge(
        "weightgate_witnesses_contradicting",
        "How many of them have cosigned a log of this name that ours does not continue.",
        sum(one.contradicts for one in log.witnesses),
    )


def _of_outbox(outbox: Outbox, at: datetime) -> Iterator[Family]:
    yield _gauge("weightgate_outbox_messages_waiting", "Emails that wait to be sent.", outbox.waiting)
    yield _gauge(
        "weightgate_outbox_oldest_age_seconds",
        "How long the oldest of them has waited; 0 when none waits.",
        _age(outbox.oldest_at, at),
    )
    yield _gauge("weightgate_outbox_messages_given_up", "Emails that nobody will try to send again.", outbox.given_up)


def _of_look(look: Look) -> Iterator[Family]:
    yield from _moment(
        "weightgate_look_timestamp_seconds", "When the instance was last looked at for these metrics.", look.at
    )
    yield _gauge(
        "weightgate_ready",
        "Whether a download could be issued just now: what that needs was tried, and undone.",
        look.not_ready is None,
    )
    parts = GaugeMetricFamily(
        "weightgate_part_ok", "Whether a part is as it should be; /health says why not.", labels=["part"]
    )
    for part in look.parts:
        parts.add_metric([part.name], part.ok)
    yield parts
    free = GaugeMetricFamily(
        "weightgate_disk_free_bytes", "Free space on the file system of a folder.", labels=["folder"]
    )
    size = GaugeMetricFamily("weightgate_disk_size_bytes", "Size of the file system of a folder.", labels=["folder"])
    for disk in look.disks:
        free.add_metric([disk.folder], disk.free_bytes)
        size.add_metric([disk.folder], disk.size_bytes)
    yield from (free, size)
    yield from _of_outside(look)


def _of_outside(look: Look) -> Iterator[Family]:
    skew = GaugeMetricFamily(
        "weightgate_clock_skew_seconds",
        "How far the clock of the store or of PostgreSQL is ahead of this machine's.",
        labels=["clock"],
    )
    for name, answer in look.outside.items():
        if answer.ahead_seconds is not None:
            skew.add_metric([_SHORT[name]], answer.ahead_seconds)
    yield skew
    if (store := look.outside.get(STORE)) is not None:
        yield _gauge("weightgate_store_up", "Whether the object store answered when it was last asked.", store.answered)


def _gauge(name: str, help: str, value: float) -> Family:
    return GaugeMetricFamily(name, help, value=float(value))


def _moment(name: str, help: str, at: datetime | None) -> Iterator[Family]:
    """Nothing for what has never been."""
    if at is not None:
        yield _gauge(name, help, at.timestamp())


def _age(at: datetime | None, now: datetime) -> float:
    return 0.0 if at is None else max(0.0, (now - at).total_seconds())
