"""Serve an instance: web, worker, and the embedded store if it has one."""

import contextlib
import signal
import sys

import click

from server.cli.init import store_of
from server.cli.processes import Processes
from server.cli.terminal import Instance


@click.command()
@click.pass_obj
def serve(instance: Instance) -> None:
    """Serve the instance until interrupted. In production, systemd runs the parts (deploy/README.md)."""
    made = instance.use.settings
    with contextlib.ExitStack() as stack:
        alive = stack.enter_context(store_of(made.folder, made)).alive if made.embedded_store else lambda: True
        code = Processes(made).run(alive)
    sys.exit(code)


@click.command()
@click.pass_obj
def store(instance: Instance) -> None:
    """Run the embedded store alone until interrupted, for a service manager."""
    made = instance.settings
    if not made.embedded_store:
        raise click.UsageError("This instance has no embedded store: its settings name another one.")
    with store_of(made.folder, made):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


COMMANDS = [serve, store]
