"""Outlines: words are parsed, and help is printed, without what a command needs for its work."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import pytest

from server.cli import outline
from server.cli.main import commands, outlines, program
from server.cli.outline import OutOfReach, StandIn

HEAVY = {
    "alembic",
    "boto3",
    "botocore",
    "cryptography",
    "numpy",
    "psycopg",
    "pydantic",
    "rich",
    "sqlalchemy",
    "structlog",
}
EACH = """
import json, sys
from server.cli import main
for words in json.load(sys.stdin):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as end:
        assert end.code == 2, words
    else:
        assert words[-1] == "--help", words
print("IMPORTED", *sys.modules)
"""


def helps(group: click.Group, context: click.Context) -> Iterator[tuple[tuple[str, ...], str]]:
    """The help of each command below a group."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        below = click.Context(command, context, info_name=name)
        yield tuple(below.command_path.split()), command.get_help(below)
        if isinstance(command, click.Group):
            yield from helps(command, below)


def help_of(whole: click.Group) -> dict[tuple[str, ...], str]:
    names = commands.context_settings["help_option_names"]  # a command keeps those of the first context that asked
    return dict(helps(whole, click.Context(whole, info_name="weightgate-server", help_option_names=names)))


def test_an_outline_says_what_the_module_says() -> None:
    """The help of every command is the same to the letter, whichever of the two prints it."""
    told = help_of(outlines)
    assert len(told) > 60
    assert told == help_of(commands)


def test_help_and_wrong_use_of_every_command_import_nothing_heavy() -> None:
    """A command that fails here reads a heavy module for its options: what they need goes into a light one."""
    told = [path[1:] for path in help_of(outlines)]
    words = [[*path, last] for path in told for last in ("--help", "--no-such")] + [
        ["tier", "add"],
        ["tier", "add", "x"],
    ]
    command = [sys.executable, "-c", EACH]
    done = subprocess.run(command, input=json.dumps(words), capture_output=True, text=True, check=True)
    imported = done.stdout.rpartition("IMPORTED")[2].split()
    assert "server.cli.main" in imported
    assert {name for name in imported if name.partition(".")[0] in HEAVY} == set()
    assert {name for name in imported if name.startswith("server.domain.")} - outline.LIGHT <= {"server.domain.release"}
    assert done.stderr.count("No such option") == len(told)


READINGS: list[Callable[[StandIn], object]] = [
    str, repr, "{}".format, bool, list, len, int, "{:d}".format, "%s".__mod__, lambda it: it == 1,
    lambda it: it < 1, lambda it: 1 in it, lambda it: click.Choice(it), lambda it: [*it],
]  # fmt: skip


@pytest.mark.parametrize("reading", READINGS)
def test_nothing_is_read_from_a_stand_in(reading: Callable[[StandIn], object]) -> None:
    """A text or a number of it in a help or a choice would be an invention."""
    with pytest.raises(OutOfReach):
        reading(StandIn().of.something(1)["x"])


def test_what_an_outline_cannot_do_is_left_to_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    """A command to be carried out, and one whose module needs more than stand-ins: not answered, nothing printed."""

    def broken(name: str) -> object:
        return outline.of("server.cli.terminal") if name == "server.cli.terminal" else StandIn()

    assert not outline.answers(program(broken), ["tier", "add", "--help"])
    assert not outline.answers(outlines, ["tier", "list", "--as", "owner@birch.example"])
    assert capsys.readouterr() == ("", "")
    assert outline.answers(outlines, ["tier", "add", "--help"])
    assert "Usage:" in capsys.readouterr().out
