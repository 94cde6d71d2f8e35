"""Folded: a column as LIKE compares it without regard to capitals."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class Folded(FunctionElement[str]):
    """In small letters; on SQLite as it is, whose LIKE sees none: there each `lower` would cost as much as the rest."""

    type = String()
    inherit_cache = True


@compiles(Folded)
def _lowered(element: Folded, compiler: Any, **more: Any) -> str:
    return f"lower({compiler.process(element.clauses, **more)})"


@compiles(Folded, "sqlite")
def _as_it_is(element: Folded, compiler: Any, **more: Any) -> str:
    text: str = compiler.process(element.clauses, **more)
    return text
