"""The command line put together; the one place that turns an error into a line and an exit code."""

import sys

import click

from server.cli import (
    agreement,
    backup,
    clearance,
    demo,
    doctor,
    hold,
    init,
    migrate,
    organization,
    person,
    publish,
    serve,
    stage,
    tier,
    token,
    worker,
)
from server.cli.terminal import Instance
from server.domain.errors import Refused
from server.domain.manifests import ManifestError
from server.domain.source_files import NotPublishable
from server.log.entries import NoLog
from server.logger import redact
from server.settings import SettingsError
from server.storage.database import DatabaseUnavailable
from server.storage.embedded import EmbeddedStoreError
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError
from server.storage.signing_check import SigningMismatch
from server.storage.snapshot import SnapshotError

# Whatever an operator can do something about. Anything else is a fault of ours and shows where.
EXPECTED = (
    SettingsError, KeyFileError, NotPublishable, ManifestError, ObjectStoreError, EmbeddedStoreError, NoLog,
    SigningMismatch, SnapshotError,
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data", metavar="DIR", envvar="WEIGHTGATE_DATA", default="var", help="The instance's folder [./var].")
@click.pass_context
def commands(context: click.Context, data: str) -> None:
    """Run a Weightgate instance: gated, logged distribution of model weights.

    Exit codes: 0 done, 1 refused or failed, 2 wrong use.
    """
    context.obj = Instance(data)


for module in (
    init, serve, worker, demo, migrate, doctor, publish, organization, person, tier, clearance, agreement, stage, hold,
    token, backup,
):  # fmt: skip
    for command in module.COMMANDS:
        commands.add_command(command)


def main() -> None:
    """Run one command and exit."""
    try:
        commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        sys.exit(1)
    except Refused as refused:
        _say(f"{refused.detail} {refused.next_step.replace('{contact}', 'an admin')}")
        sys.exit(1)
    except DatabaseUnavailable as error:
        _say(f"{error}: is it running, and not locked? Nothing was changed that the log does not show; try again")
        sys.exit(1)
    except EXPECTED as error:
        _say(str(error))
        sys.exit(1)


def _say(text: str) -> None:
    click.echo(f"weightgate-server: {redact(' '.join(text.split()))}", err=True)
