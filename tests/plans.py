"""How the database answers what a page asks: by an index and in its order, never by reading a whole table."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from server.storage.statements import _Compiled
from server.web.portal.kit.paging import ROWS
from tests.world import World

_TABLE = re.compile(r"\sFROM (\w+)")
# PostgreSQL would read the few rows of a test whole, so it is told that there are many; of no rows it knows better.
_AS_LARGE = (
    "UPDATE pg_class SET reltuples = 1e6, relpages = 1 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    "SET LOCAL enable_seqscan = off",
    "SET LOCAL enable_bitmapscan = off",
    "SET LOCAL enable_sort = off",
)
# Passing few rows is no fault: a person's entries are nearly all of its own organization, few entries are ever erased,
# and of all stages few are hidden.
_OF_FEW = ("((organization_id + ", "(salt <> ", "(((state)::text <> ")


class Asked(NamedTuple):
    """A statement that reads a part of a list, and the table whose rows the list shows."""

    table: str
    statement: str
    parameters: Any


def plans(world: World, table: str | None, look: Callable[[], Any]) -> list[str]:
    """Run something that looks at a list; return how each of its statements over a table is answered.

    table: None for whatever table a page of rows is read from, without a filter. Asserts that no statement reads the
    whole table or sorts what it found, and that a list without a filter walks past no row that it does not show.
    """
    asked: list[Asked] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "LIMIT" not in statement:
            return
        values = parameters.values() if isinstance(parameters, dict) else parameters
        read_from = _TABLE.findall(statement)[0]
        if read_from == table or (table is None and ROWS + 1 in values):
            asked.append(Asked(read_from, statement, parameters))

    event.listen(Engine, "before_cursor_execute", remember)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Compiled, "bind", _told(_Compiled.bind, remember))
            answer = look()
    finally:
        event.remove(Engine, "before_cursor_execute", remember)
    assert answer.status_code == 200, answer.text
    assert asked, f"nothing was asked of {table or 'a list'}"
    with world.use.database.transaction() as session:
        explain = _of_sqlite if world.kind == "sqlite" else _of_postgresql
        found = explain(session.connection(), asked, has_filter=table is not None)
        session.rollback()
        return found


def _told(bind: Callable[[_Compiled, dict[str, Any]], Any], remember: Callable[..., None]) -> Callable[..., Any]:
    """What a `Statement` sends to the driver itself is looked at as well."""

    def bound(self: _Compiled, parameters: dict[str, Any]) -> Any:
        values = bind(self, parameters)
        remember(None, None, self.text, values if isinstance(values, dict) else tuple(values))
        return values

    return bound


def _of_sqlite(connection: Connection, asked: list[Asked], has_filter: bool) -> list[str]:
    found = []
    for table, statement, parameters in asked:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        plan = " / ".join(str(row[3]) for row in rows)
        assert "B-TREE" not in plan, f"sorts: {plan}"
        # Along the key itself, it reads no farther than the page if every row is wanted; of all stages few are hidden.
        walks_past = re.search(rf"SCAN {table}(?! USING INDEX)", plan) and "WHERE" in statement
        assert has_filter or table == "stages" or not walks_past, statement
        found.append(plan)
    return found


def _of_postgresql(connection: Connection, asked: list[Asked], has_filter: bool) -> list[str]:
    for sentence in _AS_LARGE:  # until the rollback
        connection.exec_driver_sql(sentence)
    found = []
    for table, statement, parameters in asked:
        plan = " / ".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
        assert f"Seq Scan on {table}" not in plan, plan
        # An incremental sort is of the few rows that share a moment; any other is of all that fits.
        assert "Sort  (" not in plan.replace("Incremental Sort  (", ""), plan
        walks_past = re.search(rf" on {table} [^>]*?Filter: (?!{'|'.join(map(re.escape, _OF_FEW))})", plan)
        assert has_filter or not walks_past, plan
        found.append(plan)
    return found
