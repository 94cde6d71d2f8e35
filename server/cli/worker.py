"""The worker: what must happen regularly, apart from requests."""

import signal
import threading

import click
import structlog

from server.cli.terminal import Instance
from server.domain import heartbeat
from server.storage.database import DatabaseUnavailable

logger = structlog.get_logger(__name__)


@click.command()
@click.pass_obj
def worker(instance: Instance) -> None:
    """Do the regular work until interrupted: an entry each minute, so that a stopped log shows."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    use = instance.use
    while not stopping.is_set():
        try:
            heartbeat.beat(use)
        except DatabaseUnavailable as error:
            # The database may be restarting: the next round will tell, and a missed beat is what shows it.
            logger.warning("no heartbeat", reason=str(error))
        stopping.wait(heartbeat.INTERVAL_SECONDS)


COMMANDS = [worker]
