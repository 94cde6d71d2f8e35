"""Outlines: what a command's module says of its words, read with stand-ins for all that it imports.

Options are decorators of the module that does the work, which needs the database and the store: seconds of imports. Who
asks for help, or errs, needs none of them. So words are parsed by an outline first; it answers help and wrong use, and
whatever it cannot do with stand-ins, as well as all work, is left to the module itself.
"""

import builtins
import importlib
import sys
from functools import cache
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import click

# What options are made of beside click, and imported in no time: enumerations, and how moments are written.
LIGHT = frozenset({
    "server.dates", "server.text", "server.domain.errors", "server.domain.permissions",
    "server.domain.release.finding_words", "server.domain.release.stage_states",
})  # fmt: skip
_OWN = "server.cli."


class OutOfReach(Exception):  # no failure: the module itself is asked then
    """An outline does not know this."""


def _out_of_reach(*_: Any, **__: Any) -> NoReturn:
    raise OutOfReach


class StandIn:
    """In place of something imported: fit to annotate, to inherit from and to be handed on, and never to be read.

    A text or a number of it would be an invention; whoever needs one gets OutOfReach.
    """

    def __getattr__(self, name: str) -> "StandIn":
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn()

    def __call__(self, *_: Any, **__: Any) -> "StandIn":
        return StandIn()

    def __getitem__(self, _: Any) -> "StandIn":
        return StandIn()

    def __or__(self, _: Any) -> "StandIn":
        return StandIn()

    def __mro_entries__(self, _: Any) -> tuple[type, ...]:
        return ()

    __ror__ = __or__
    __str__ = __repr__ = __format__ = __bool__ = __iter__ = __contains__ = __len__ = __int__ = __index__ = _out_of_reach
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = _out_of_reach
    __hash__ = object.__hash__  # a table may have it as a key: each is another one


@cache
def of(name: str) -> ModuleType:
    """The module `server.cli.…`, apart from the one that others import. Its commands parse, and then are OutOfReach."""
    module = module_from_spec(find_spec(name))  # type: ignore[arg-type]  # our own: it is there
    vars(module)["__builtins__"] = vars(builtins) | {"__import__": _import}
    module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]
    for command in vars(module).get("COMMANDS", ()):
        _parse_only(command)
    return module


def answers(program: click.Group, words: list[str] | None = None) -> bool:
    """Whether the words ask for help, which has been printed. Raises click's exception where they are wrong use.

    program: the whole command line, over outlines. words: what was typed, by default that of this process.
    """
    try:
        program.main(words, standalone_mode=False)
    except (click.ClickException, click.Abort):
        raise
    except Exception:  # whatever goes wrong for want of the real thing goes right with it
        return False
    return True


def _import(name: str, scope: Any = None, local: Any = None, wanted: Any = (), level: int = 0) -> Any:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == "click" or name in LIGHT:
        return __import__(name, scope, local, wanted, level)
    if name.startswith(_OWN):
        return of(name)
    if not wanted:
        return StandIn()
    return SimpleNamespace(**{each: _light(f"{name}.{each}") for each in wanted})


def _light(name: str) -> Any:
    return importlib.import_module(name) if name in LIGHT else StandIn()


def _parse_only(command: Any) -> None:
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _parse_only(below)
    else:
        command.callback = _out_of_reach
