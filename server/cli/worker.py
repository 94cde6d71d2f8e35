"""The worker: what must happen regularly, apart from requests. Any number may run; locks let one work at a time."""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import click
import structlog

from server.cli.init import store_of
from server.cli.terminal import Instance, printable
from server.domain import marks
from server.domain.access import endings, resigning
from server.domain.accounts import ceremonies, password_resets
from server.domain.audit import heartbeat, mirror, months, sealer, verifications, witnessing
from server.domain.audit.mirror import MirrorDiffers
from server.domain.audit.months import MonthDiffers
from server.domain.decisions import execution
from server.domain.delivery import log_follower, statistics
from server.domain.downloads import cutting
from server.domain.identity import sessions
from server.domain.mail import mails
from server.domain.mail.mails import Mail
from server.domain.meters import JOB_FAILURES
from server.domain.operation import nodes
from server.domain.publish import uploads
from server.domain.release import finding_attachments
from server.domain.resources import Resources
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.log.sealing import SealingStopped
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.keys import KeyFileError
from server.storage.mail import MailServerUnavailable
from server.storage.objects import ObjectStoreError

logger = structlog.get_logger(__name__)
FOLLOW_EVERY_SECONDS = 1
MAIL_EVERY_SECONDS = 2
ROLE_EVERY_SECONDS = 15
CUT_EVERY_SECONDS = 1
CLEAN_EVERY_SECONDS = 3600
AFTER_AN_ERROR_SECONDS = 5
_CLEANED = (ceremonies, sessions, password_resets, finding_attachments, uploads)  # of what nobody asks for any more
# What passes, or what only people can mend: either way the other jobs go on, and this one tries again.
_FAILURES = (
    DatabaseUnavailable, ObjectStoreError, NoLog, LogUnsound, KeyFileError, SealingStopped, BehindAnchor, Forked,
    OSError, MailServerUnavailable, MirrorDiffers, MonthDiffers,
)  # fmt: skip


@click.command()
@click.pass_obj
def worker(instance: Instance) -> None:
    """Run the background jobs until interrupted: seal and verify the log, carry out decisions, track fetches, mail."""
    use = instance.use.as_sealer()
    require_anchored(use)
    require_own_bucket(use)
    if use.settings.log_months is not None:
        months.require_parquet()  # or it would be found out only at the end of the month
    use.count_as("worker")
    stopping, failed = threading.Event(), threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    jobs = _jobs(use, stopping)
    threads = [threading.Thread(target=_repeat, args=(use, stopping, failed, *job), name=job[0]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    nodes.leave(use, "worker")
    use.close()
    sys.exit(int(failed.is_set()))


def require_anchored(use: Resources) -> None:
    """Raise BehindAnchor or Forked before anything is issued; anchors that cannot be read are asked again later."""
    sealing = use.as_sealer()  # whoever asks: the web's role could not stop the log
    try:
        sealer.require_anchored(sealing)
    except ObjectStoreError as error:
        logger.warning("the anchors cannot be read", reason=str(error))
    finally:
        sealing.close()


def require_own_bucket(use: Resources) -> None:
    """Raise AnotherInstance before a restored copy, or settings that name another's parts, send or anchor anything."""
    try:
        with contextlib.closing(use.as_reader()) as store:
            marks.require_own(use.database, store)
    except (ObjectStoreError, KeyFileError) as error:  # whoever keeps the signer's key from the worker, too
        logger.warning("whose the bucket is cannot be read", reason=str(error))


def _jobs(use: Resources, stopping: threading.Event) -> Iterator[tuple[str, float, Callable[[], object]]]:
    """Each with its interval in seconds."""
    yield "seal", sealer.SEAL_EVERY_SECONDS, lambda: sealer.seal(use)
    yield "cut", CUT_EVERY_SECONDS, lambda: cutting.carry_out(use)
    yield "decisions", execution.CARRY_OUT_EVERY_SECONDS, lambda: execution.carry_out_due(use)
    yield "heartbeat", heartbeat.INTERVAL_SECONDS, lambda: heartbeat.beat(use)
    yield "anchor", sealer.ANCHOR_EVERY_SECONDS, lambda: sealer.anchor(use)
    for witness in use.settings.witnesses:  # each on its own: one that is slow holds up no other
        yield "witness", witnessing.ASK_EVERY_SECONDS, partial(witnessing.ask, use, witness)
    yield "verify", verifications.LOOK_EVERY_SECONDS, lambda: _verify(use, stopping.is_set)
    yield "verify daily", CLEAN_EVERY_SECONDS, lambda: verifications.request_daily(use)
    yield "statistics", statistics.COUNT_EVERY_SECONDS, lambda: statistics.count(use, stopping.wait)
    recheck = sealer.Recheck(use)
    yield "recheck", sealer.RECHECK_EVERY_SECONDS, lambda: _recheck(recheck)
    yield "clean", CLEAN_EVERY_SECONDS, lambda: [part.clean(use) for part in _CLEANED]
    yield "mail", MAIL_EVERY_SECONDS, lambda: _send_mails(use)
    yield "node", nodes.BEAT_EVERY_SECONDS, lambda: nodes.beat(use, "worker")
    yield "remind", endings.REMIND_EVERY_SECONDS, lambda: [part.remind(use) for part in (endings, resigning)]
    made = use.settings
    if made.log_mirror is not None:
        yield "mirror", mirror.MIRROR_EVERY_SECONDS, lambda: mirror.mirror(use)
    if made.log_months is not None:
        yield "months", months.KEEP_EVERY_SECONDS, months.Keeper(use).keep
    if made.signer_credentials == "role":  # a canary is signed with them
        yield "role", ROLE_EVERY_SECONDS, lambda: use.role.renew()
    if made.embedded_store:
        access_log = store_of(made.folder, made).access_log
        yield "follow", FOLLOW_EVERY_SECONDS, lambda: log_follower.follow(use, access_log)


def _repeat(
    use: Resources,
    stopping: threading.Event,
    failed: threading.Event,
    name: str,
    every_seconds: float,
    work: Callable[[], object],
) -> None:
    use.meters.add(JOB_FAILURES, name, by=0)
    while not stopping.is_set():
        wait = every_seconds
        try:
            work()
        except (*_FAILURES, *DATABASE_ERRORS) as error:
            use.meters.add(JOB_FAILURES, name)
            logger.warning("could not be done", job=name, error=type(error).__name__, reason=str(error))
            wait = max(every_seconds, AFTER_AN_ERROR_SECONDS)
        except BaseException:
            # A fault of ours: a worker that lives on without one of its jobs would be noticed by nobody.
            failed.set()
            stopping.set()
            raise
        stopping.wait(wait)


def _verify(use: Resources, is_stopping: Callable[[], bool]) -> None:
    if (state := verifications.run_waiting(use, is_stopping)) in {"faulty", "broken"}:
        logger.error(
            "a verification did not find everything as it should be; /audit/verifications says what", state=state
        )


def _send_mails(use: Resources) -> None:
    for mail, error in mails.send_due(use):
        if error is not None:
            logger.warning("an email could not be sent", mail=mail.id, kind=mail.kind, reason=error)
        elif use.settings.development_mails:
            _show_mail(mail)


def _show_mail(mail: Mail) -> None:
    """One block of plain lines, whole: several processes write to the same terminal."""
    lines = ["", f"--- Email {mail.id} to {mail.recipient}", mail.subject, "", *mail.text.splitlines(), "---"]
    click.echo("\n".join(map(printable, lines)))


def _recheck(recheck: sealer.Recheck) -> None:
    if (fault := recheck.step()) is not None:
        raise SealingStopped(f"{fault.row}: {fault.sentence}")


COMMANDS = [worker]
