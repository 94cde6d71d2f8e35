"""The command line put together; the one place that turns an error into a line and an exit code."""

import os
import sys

import click
from click.exceptions import NoArgsIsHelpError

from server.cli import (
    agreement,
    backup,
    checkpoint,
    clearance,
    demo,
    demo_code,
    doctor,
    hold,
    init,
    keys,
    log,
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
from server.cli.terminal import Instance, with_data
from server.domain.errors import InvalidRequest, NotFound, Refused, taken_meanwhile
from server.domain.marks import AnotherInstance
from server.domain.publish.faults import NotPublishable
from server.domain.publish.manifests import ManifestError
from server.log.anchors import BehindAnchor, Forked
from server.log.condition import LogUnsound
from server.log.entries import NoLog
from server.log.sealing import SealingStopped
from server.logger import redact
from server.settings import SettingsError
from server.storage.database import DatabaseUnavailable, RowTaken
from server.storage.embedded import EmbeddedStoreError
from server.storage.keys import KeyFileError
from server.storage.objects import ObjectStoreError
from server.storage.signing_check import SigningMismatch
from server.storage.snapshot import SnapshotError

# Whatever an operator can do something about. Anything else is a fault of ours and shows where.
EXPECTED = (
    SettingsError, KeyFileError, NotPublishable, ManifestError, ObjectStoreError, EmbeddedStoreError, NoLog,
    LogUnsound, SealingStopped, Forked, SigningMismatch, SnapshotError, AnotherInstance,
)  # fmt: skip
BEHIND_ANCHOR = 4  # the exit code
# What a refusal advises by default is written for callers of the API.
NEXT_STEPS: dict[type[Refused], str] = {
    NotFound: "Check the spelling. The `list` commands show what exists.",
    InvalidRequest: "Correct the problem named above. `--help` describes the command.",
}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--data", metavar="DIR", envvar="WEIGHTGATE_DATA", default="var", help="The instance's data folder [./var]."
)
@click.pass_context
def commands(context: click.Context, data: str) -> None:
    """Operate a Weightgate server: gated, logged distribution of model weights.

    Exit codes: 0 success, 1 refused or failed, 2 usage error, 4 the log is behind its anchor.
    """
    context.obj = context.with_resource(Instance(data))


for module in (
    init, serve, worker, demo, demo_code, migrate, doctor, publish, checkpoint, organization, person, tier, clearance,
    agreement, stage, hold, token, log, keys, backup,
):  # fmt: skip
    for command in module.COMMANDS:
        commands.add_command(with_data(command))


def main() -> None:
    """Run one command and exit."""
    os.umask(0o077)  # whatever a command makes, a backup or a database, is for the operator alone
    try:
        commands.main(standalone_mode=False)
    except NoArgsIsHelpError as error:
        error.show()  # the whole help: who gives no command wants to read
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "weightgate-server"
        message = error.format_message()
        _say(f"{message}{'' if message.endswith(('.', '?')) else '.'} `{path} --help` describes it.")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _say(error.format_message())
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("stopped")
        sys.exit(1)
    except (Refused, RowTaken) as error:
        _say(_told(error if isinstance(error, Refused) else taken_meanwhile()))
        sys.exit(1)
    except DatabaseUnavailable as error:
        _say(f"{error}: check that it is running and not locked, then try again. Every completed change is in the log")
        sys.exit(1)
    except BehindAnchor as error:
        _say(f"{error}. Restore a newer backup, or see `An older backup was restored` in deploy/README.md")
        sys.exit(BEHIND_ANCHOR)
    except EXPECTED as error:
        for sentence in _sentences(error):
            _say(sentence)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:  # not about a file that the operator could make room for or open
            raise
        _say(f"{error.strerror}: {os.fsdecode(error.filename)}. Fix this, then run the command again")
        sys.exit(1)


def _told(refused: Refused) -> str:
    step = refused.next_step
    if step == type(refused).next_step:
        step = NEXT_STEPS.get(type(refused), step)
    return f"{refused.detail} {step.replace('{contact}', 'an admin')}"


def _sentences(error: Exception) -> list[str]:
    if not isinstance(error, NotPublishable) or len(error.faults) == 1:
        return [str(error)]
    return [*map(str, error.faults), f"{len(error.faults)} things are wrong, and nothing was published"]


def _say(text: str) -> None:
    click.echo(f"weightgate-server: {redact(' '.join(text.split()))}", err=True)
