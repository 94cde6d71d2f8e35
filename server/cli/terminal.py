"""What commands share: the instance they work on, the person they act for, and how they print."""

import json
import os
import pwd
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Self, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from server import dates, logger, settings
from server.cli import instance as making
from server.domain import schema  # noqa: F401  # a command imports its own tables, which name others
from server.domain.access import rule
from server.domain.callers import Caller
from server.domain.errors import Refused
from server.domain.identity import people
from server.domain.resources import Resources
from server.settings import Settings, SettingsError
from server.text import printable as as_printable

Command = TypeVar("Command", bound=Callable[..., Any])
PASSWORD_VARIABLE = "WEIGHTGATE_PASSWORD"  # noqa: S105  # a variable's name
# Written to a file or a pipe, a table is as wide as it needs to be.
console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 1000)


class Instance:
    """The instance a command works on; opened when the command first needs it."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if "use" in self.__dict__:
            self.use.close()

    @cached_property
    def settings(self) -> Settings:
        loaded = settings.load(self.folder)
        logger.configure(loaded.logger_level)
        return loaded

    @cached_property
    def use(self) -> Resources:
        """Raises SettingsError when the database has not the schema of this version."""
        use = Resources(self.settings)
        if (difference := making.other_schema(use.database)) is not None:
            use.close()
            raise SettingsError(difference)
        return use

    def sign_in(self, email: str) -> Caller:
        """Prove the person the command acts for. The log says `via: cli`."""
        password = os.environ.get(PASSWORD_VARIABLE)
        if password is None:
            if not sys.stdin.isatty():
                raise click.UsageError(
                    f"Cannot ask for the password without a terminal. Set {PASSWORD_VARIABLE} instead."
                )
            password = click.prompt(f"Password of {email}", hide_input=True, err=True)
        return people.sign_in_for_command(self.use, email, password)


def acting(command: Command) -> Command:
    """Add `--as EMAIL`; the command receives `instance` and the proven `caller`."""

    @click.option(
        "--as", "email", metavar="EMAIL", required=True, help="Your email address. You are asked for your password."
    )
    @click.pass_obj
    @wraps(command)
    def signed_in(instance: Instance, /, *args: Any, email: str, **kwargs: Any) -> Any:
        caller = instance.sign_in(email)
        _tell_renamed(instance.use, caller, kwargs)
        return command(*args, instance=instance, caller=caller, **kwargs)

    return signed_in  # type: ignore[return-value]


def _tell_renamed(use: Resources, caller: Caller, given: Mapping[str, Any]) -> None:
    """Say on standard error which stages of the command line have another name today."""
    for param in click.get_current_context().command.params:
        asked = given.get(str(param.name))
        if param.type is STAGE and isinstance(asked, str) and "/" in asked:
            with use.database.reading() as session, suppress(Refused):  # the command says what is wrong with it
                found = rule.require_known(session, use, caller, asked)
                if asked != f"{found.model}/{found.name}":
                    click.echo(f"Note: {asked} is now called {found.model}/{found.name}.", err=True)


def with_json(command: Command) -> Command:
    """Add `--json`; the command receives `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def with_data(command: click.Command) -> click.Command:
    """Let `--data DIR` be given after a command as well: people add it where they notice that it is missing."""
    option = click.Option(
        ["--data"], metavar="DIR", expose_value=False, callback=_go_to, help="The instance's data folder [./var]."
    )
    command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_data(below)
    return command


def _go_to(context: click.Context, _: click.Parameter, folder: str | None) -> None:
    if folder is not None:
        context.find_object(Instance).folder = Path(folder)  # type: ignore[union-attr]  # the root group made it


def show(as_json: bool, body: Mapping[str, Any], sentence: str) -> None:
    """Print a result: the sentence for people, the body for scripts."""
    if as_json:
        click.echo(json.dumps(body, ensure_ascii=False))
    else:
        console.print(sentence, markup=False)


def show_list(as_json: bool, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a list: a table for people, a list of objects for scripts."""
    if as_json:
        click.echo(json.dumps([dict(zip(columns, map(plain, row), strict=True)) for row in rows], ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(value)) for value in row])
    console.print(table)


def show_one(as_json: bool, body: Mapping[str, Any]) -> None:
    """Print what is known of one thing: a line each for people, an object for scripts."""
    if as_json:
        click.echo(json.dumps({name: plain(value) for name, value in body.items()}, ensure_ascii=False))
        return
    width = max(map(len, body)) + 2
    for name, value in body.items():
        text = ", ".join(map(printable, value)) if isinstance(value, list) else printable(value)
        console.print(f"{name.replace('_', ' '):<{width}}{text or '-'}", markup=False)


class Moment(click.ParamType[datetime]):
    """A day or a moment: 2027-01-31 (in UTC) or 2027-01-31T12:00:00Z, or a span from now: 90d, 12h."""

    name = "moment"

    def __init__(self, *, ends: bool = False) -> None:
        """ends: whether a day means its end, as in the portal's fields for a last day."""
        self._ends = ends

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        text = str(value)
        try:
            if span := re.fullmatch(r"([0-9]{1,9})([dh])", text, re.ASCII):
                delay = timedelta(**{"days" if span[2] == "d" else "hours": int(span[1])})
                text = dates.rfc3339(datetime.now(UTC) + delay)
            return dates.chosen(text, ends=self._ends)
        except OverflowError:
            self.fail(f"{value!r} is not a valid date or time: choose fewer days", param, ctx)
        except ValueError as error:
            self.fail(f"{value!r} is not a valid date or time: {error}", param, ctx)


class ReadableFile(click.Path):
    """A file that this process can open; said of one that it cannot is why, and not that there is none."""

    name = "file"

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            with Path(os.fsdecode(value)).open("rb"):
                return super().convert(value, param, ctx)
        except PermissionError:
            user = pwd.getpwuid(os.geteuid()).pw_name
            self.fail(f"{value!r} cannot be read by user {user}: `install -m 0600 -o {user}` makes a copy that can")
        except OSError as error:
            self.fail(f"{value!r} cannot be read: {error.strerror}")


class StageName(click.ParamType[str]):
    """A stage, or what else a hold can be on; whoever names it by an alias is told its name of today."""

    name = "stage"


MOMENT = Moment()
STAGE = StageName()
END = Moment(ends=True)
READABLE = ReadableFile()
# What the database can hold: beyond, it would fail rather than refuse.
COUNT = click.IntRange(1, 2**31 - 1)
LARGE_COUNT = click.IntRange(1, 2**53 - 1)


def plain(value: Any) -> Any:
    """As JSON and tables show it: a moment in RFC 3339, the rest as it is."""
    return dates.rfc3339(value) if isinstance(value, datetime) else value


def printable(value: Any) -> str:
    """As text for a terminal: partners choose names, and a control sequence in one could rewrite what an admin sees."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return as_printable("" if value is None else str(plain(value)))
