"""The publisher: publishes what was uploaded, apart from requests. Alone it opens the keys that this takes."""

import signal
import sys
import threading

import click
import structlog

from server.cli.terminal import Instance
from server.cli.worker import require_own_bucket
from server.domain.errors import NotPossible
from server.domain.operation import nodes
from server.domain.publish import receiving
from server.domain.resources import Resources
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError
from server.storage.outside import OutsideFault

logger = structlog.get_logger(__name__)
AFTER_AN_ERROR_SECONDS = 5
# What passes, or what only people can mend: the upload waits, and is tried again.
_FAILURES = (DatabaseUnavailable, ObjectStoreError, KeyFileError, OutsideFault, OSError)


@click.command()
@click.pass_obj
def publisher(instance: Instance) -> None:
    """Publish uploads until interrupted: read back, check, sign, make visible. It needs the publisher's keys."""
    use = instance.use
    if use.settings.uploads_key_file is None:
        raise NotPossible("This instance takes no uploads.", next_step="Set uploads_key_file in its settings.")
    require_own_bucket(use)
    use.count_as("publisher")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _stop(stopping))
    beats = nodes.Beats(use, "publisher")
    try:
        while not stopping.is_set():
            beats()
            stopping.wait(_step(use))
    finally:
        nodes.leave(use, "publisher")
        use.close()


def _step(use: Resources) -> float:
    """Do what there is to do; return the seconds until somebody should look again."""
    try:
        return 0 if receiving.publish_next(use) else receiving.LOOK_EVERY_SECONDS
    except (*_FAILURES, *DATABASE_ERRORS) as error:
        logger.warning("an upload could not be published", error=type(error).__name__, reason=str(error))
        return AFTER_AN_ERROR_SECONDS


def _stop(stopping: threading.Event) -> None:
    """At once, even from within an upload of hours: whatever is not finished goes on with the next start."""
    stopping.set()
    sys.exit(0)


COMMANDS = [publisher]
