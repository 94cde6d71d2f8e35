"""The command line put together; the one place that turns an error into a line and an exit code.

A command's module is imported when that command is to do its work: with the database and the store that it stands on it
takes seconds and 170 MB, and help or wrong use needs none of them (see `outline.py`).
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError, NoSuchCommand

from server.cli import outline
from server.logger import redact

# Each command's module, and the sentence that lists it; a test compares both with the command itself.
COMMANDS = {
    "init": ("init", "Create an instance in the data folder."),
    "serve": ("serve", "Run the server until interrupted."),
    "worker": (
        "worker",
        "Run the background jobs until interrupted: seal and verify the log, carry out decisions, track fetches, mail.",
    ),
    "store": ("serve", "Run only the embedded store until interrupted, for a service manager."),
    "demo": ("demo", "Run a demo with example data until interrupted."),
    "demo-code": ("demo_code", "Print the current one-time code of a person in the demo."),
    "migrate": ("migrate", "Migrate the database to this version's schema, and create the keys that are new in it."),
    "doctor": ("doctor", "Check the instance: settings, keys, database, proxy, clock, store."),
    "publish": ("publish", "Check, sign and upload FOLDER, and make it the stage's `main` checkpoint."),
    "publisher": (
        "publisher",
        "Publish uploads until interrupted: read back, check, sign, make visible.",
    ),
    "metrics": ("metrics", "Serve metrics for Prometheus, and the health of each part, until interrupted."),
    "checkpoint": ("checkpoint", "Manage published checkpoints."),
    "organization": ("organization", "Manage partner organizations."),
    "person": ("person", "Manage people, in partners and in the lab."),
    "tier": ("tier", "Manage tiers: named ranks of access."),
    "clearance": ("clearance", "Manage clearances: which organization has which tier on which model."),
    "agreement": ("agreement", "Manage agreements and their signatures."),
    "model": ("stage", "List and show models."),
    "stage": ("stage", "Manage models and their stages."),
    "decision": ("decision", "Decide that a stage moves: one admin proposes it, another approves it."),
    "finding": ("finding", "Read and triage what partners report."),
    "proposal": ("proposal", "Approve or reject proposals that need a second person."),
    "hold": ("hold", "Pause and resume downloads."),
    "decoy": ("decoy", "Manage decoys: objects in the bucket that nobody has a reason to request."),
    "token": ("token", "Manage API tokens."),
    "export": ("export", "Export evidence for auditors, and verify it."),
    "log": ("log", "Verify, export and maintain the log."),
    "keys": (
        "keys",
        "Show the public keys, and rotate those of log and receipts, the secret of S3 keys, or CloudFront's key.",
    ),
    "backup": ("backup", "Back up the running instance to the folder TARGET."),
    "restore": ("backup", "Restore the backup in the folder SOURCE to a new data folder."),
    "take-over": ("backup", "Make the bucket this instance's, after a restore."),
}

# What needs an instance and no other word: where there is none, nothing has to be imported to say so.
ALONE = {
    ("doctor",), ("keys", "show"), ("log", "status"), ("log", "verify"), ("metrics",), ("migrate",), ("publisher",),
    ("serve",), ("store",), ("worker",),
}  # fmt: skip
SETTINGS_FILE = "weightgate.toml"  # as `server/settings.py` names it


class LazyGroup(click.Group):
    """Loads a command's module when it is asked for the command."""

    def __init__(self, *args: Any, load: Callable[[str], Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.load = load

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            terminal = self.load("server.cli.terminal")
            for command in self.load(f"server.cli.{COMMANDS[cmd_name][0]}").COMMANDS:
                self.add_command(terminal.with_data(command))
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        path = Path(ctx.params["data"]).absolute() / SETTINGS_FILE
        if tuple(word for word in args if word != "--json") in ALONE and not path.exists():
            raise click.ClickException(f"no settings at {path}: create them with `weightgate-server init`")
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:  # click suggests those that are loaded
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


def program(load: Callable[[str], Any]) -> click.Group:
    """The whole command line. load: gives a module of `server.cli` by its name."""

    @click.group(
        cls=LazyGroup,
        load=load,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.option(
        "--data", metavar="DIR", envvar="WEIGHTGATE_DATA", default="var", help="The instance's data folder [./var]."
    )
    @click.pass_context
    def weightgate_server(context: click.Context, data: str) -> None:
        """Operate a Weightgate server: gated, logged distribution of model weights.

        Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 cannot tell yet, 4 the log is behind its anchor.
        """
        context.obj = context.with_resource(load("server.cli.terminal").Instance(data))

    return weightgate_server


outlines = program(outline.of)
commands = program(importlib.import_module)


def main() -> None:
    """Run one command and exit."""
    os.umask(0o077)  # whatever a command makes, a backup or a database, is for the operator alone
    try:
        if not outline.answers(outlines):
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
    except Exception as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    from server.cli import failures  # what can fail has imported all this

    told = failures.told(error)
    if told is None:
        raise error
    sentences, code = told
    for sentence in sentences:
        _say(sentence)
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"weightgate-server: {redact(' '.join(text.split()))}", err=True)
