"""Support: which code works on the database's schema, so that machines can be updated one at a time.

A migration that only adds what older code never asks for says `expands = True`, and code of before it goes on. Any
other one needs every machine updated first: from it on, older code refuses to work. So a change that takes something
away is made in two releases: the first stops using it, the second removes it ("expand and contract").
"""

from collections.abc import Iterable
from typing import Any

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Connection, String, inspect, text
from sqlalchemy.orm import Mapped, mapped_column

from server.storage.database import Base

# Columns that this code does not know any more, and the code of the release before asks for. A later migration drops
# each, which does not only expand.
RETIRED = frozenset({("checkpoint_files", "is_decoy")})


class SupportedCode(Base):
    """The one row that says what the database's schema supports. Changed with the schema, in one transaction."""

    __tablename__ = "supported_code"
    oldest: Mapped[str] = mapped_column(String(32), primary_key=True)  # a revision: code that has it works here


def note(script: ScriptDirectory, *, ctx: Any, heads: Iterable[str], **_: Any) -> None:
    """After a migration, up or down, and within its transaction: write what the schema supports now."""
    connection: Connection = ctx.connection
    if not inspect(connection).has_table(SupportedCode.__tablename__):
        return  # a schema of before 0037
    connection.execute(text("DELETE FROM supported_code"))
    for head in heads:
        connection.execute(text("INSERT INTO supported_code VALUES (:oldest)"), {"oldest": oldest(script, head)})


def oldest(script: ScriptDirectory, head: str) -> str:
    """The revision of the oldest code that works on the schema of `head`: the newest one that did not only expand."""
    return next(one for one in script.iterate_revisions(head, "base") if not _expands(one)).revision


def noted(connection: Connection) -> str | None:
    """What the database says of itself; None for a schema that is older than this."""
    if not inspect(connection).has_table(SupportedCode.__tablename__):
        return None
    found: str | None = connection.scalar(text("SELECT oldest FROM supported_code"))
    return found


def is_in_use(thing: Any, name: str | None, kind: str, _reflected: bool, _beside: Any) -> bool:
    """Whether a part of the schema is compared with the code's tables: all but what is retired, and its indexes."""
    if kind == "index":
        return not {(thing.table.name, column.name) for column in thing.columns} & RETIRED
    return kind != "column" or (thing.table.name, name) not in RETIRED


def _expands(migration: Script) -> bool:
    return bool(getattr(migration.module, "expands", False))
