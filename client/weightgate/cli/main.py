"""The command `weightgate`: its groups, and the one place that turns whatever happens into an exit code."""

import os
import sys
import time
from collections.abc import Sequence

import click
from click.exceptions import NoArgsIsHelpError

from weightgate.cli import accounts, completion, downloads, publishing
from weightgate.cli.findings import findings_commands
from weightgate.cli.log import log_commands
from weightgate.cli.surroundings import Surroundings, end
from weightgate.verdicts import CannotTell, WrongUse


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def commands() -> None:
    """Work with a Weightgate server as a partner."""


for command in (
    accounts.login, accounts.logout, accounts.whoami, accounts.stages, accounts.tokens, accounts.s3_keys,
    accounts.forget, downloads.download, downloads.verify, publishing.publish, findings_commands, log_commands,
    completion.completion,
):  # fmt: skip
    commands.add_command(command)


def run(arguments: Sequence[str], around: Surroundings) -> int:
    """Run one command; return its exit code. Whatever is wrong with the command itself is one line."""
    try:
        code = commands.main(list(arguments), prog_name="weightgate", standalone_mode=False, obj=around)
    except NoArgsIsHelpError as error:
        error.show()  # the whole help: who gives no command wants to read
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "weightgate"
        return end(WrongUse("usage", error.format_message(), f"`{path} --help` describes it."))
    except click.ClickException as error:
        return end(WrongUse("usage", error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        return end(CannotTell("stopped", "Interrupted."))
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command of this process and exit."""
    sys.exit(run(sys.argv[1:], Surroundings(os.environ, time.time)))
