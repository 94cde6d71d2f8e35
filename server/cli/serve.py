"""Serve an instance: web, worker, and the embedded store if it has one."""

import contextlib
import signal
import sys
import threading

import click
import structlog

from server.cli.init import store_of
from server.cli.processes import WATCH_SECONDS, Processes, require_free
from server.cli.terminal import Instance
from server.cli.worker import require_anchored
from server.domain.resources import Resources
from server.storage.embedded import EmbeddedStoreError
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError

logger = structlog.get_logger(__name__)


@click.command()
@click.pass_obj
def serve(instance: Instance) -> None:
    """Run the server until interrupted. In production, let systemd run its parts (see deploy/README.md)."""
    made = instance.use.settings
    require_free(made.listen)
    instance.use.open_for_web()  # a key it cannot use ends here in one line, not in each web process
    with contextlib.ExitStack() as stack:
        alive = stack.enter_context(store_of(made.folder, made)).alive if made.embedded_store else lambda: True
        require_anchored(instance.use)
        mark_bucket(instance.use)
        code = Processes(made).run(alive)
    sys.exit(code)


def mark_bucket(use: Resources) -> None:
    """Mark the bucket as ours unless it is marked; a store that is away is no reason not to start."""
    try:
        use.claim_bucket()
    except (ObjectStoreError, KeyFileError) as error:
        logger.warning("the bucket could not be marked as this instance's", reason=str(error))


@click.command()
@click.pass_obj
def store(instance: Instance) -> None:
    """Run only the embedded store until interrupted, for a service manager."""
    made = instance.settings
    if not made.embedded_store:
        raise click.UsageError("This instance has no embedded store. Its settings name another store.")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with store_of(made.folder, made) as running:
        while not stopping.wait(WATCH_SECONDS):
            if not running.alive():
                raise EmbeddedStoreError(f"the embedded store exited: see {made.folder}/store/logs")


COMMANDS = [serve, store]
