"""Completion with the Tab key: the line for one's shell, and the stages that the server lists."""

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete

from weightgate import asking
from weightgate.cli.surroundings import client_of
from weightgate.verdicts import Ended

_COMPLETES = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_PROGRAM, _VARIABLE = "weightgate", "_WEIGHTGATE_COMPLETE"
_TIMEOUT_SECONDS = 2.0  # who pressed Tab is waiting


@click.command()
@click.argument("shell", type=click.Choice(list(_COMPLETES)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets your shell complete commands, options and stages with the Tab key.

    \b
    bash, in ~/.bashrc:                  eval "$(weightgate completion bash)"
    zsh, in ~/.zshrc after compinit:     eval "$(weightgate completion zsh)"
    fish, in ~/.config/fish/config.fish: weightgate completion fish | source
    """
    complete = _COMPLETES[shell]
    click.echo(complete(context.find_root().command, {}, _PROGRAM, _VARIABLE).source())


def stages(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """The stages that begin so and can be downloaded, as the server lists them; none when it does not answer."""
    where = {name: context.params.get(name) for name in ("endpoint", "token_file", "ca")}
    try:
        listed = asking.every(client_of(context.obj, **where).server(_TIMEOUT_SECONDS), "/api/v1/stages")
    except Ended:
        return []
    names = (str(stage.get("name")) for stage in listed if stage.get("may_download"))
    return [CompletionItem(name) for name in names if name.startswith(begun)]
