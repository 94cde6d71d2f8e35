"""How the database answers what a page asks: by an index and in its order, never by reading a whole table."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from tests.world import World


def plans(world: World, table: str, look: Callable[[], Any]) -> list[str]:
    """Run something that looks at a list; return how each of its statements over a table was answered.

    Asserts that none reads the whole table or sorts it. PostgreSQL is kept from reading a small table as a whole, which
    it would else prefer for the few rows of a test.
    """
    asked: list[tuple[str, Any]] = []

    def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if f"FROM {table}" in statement and "LIMIT" in statement:
            asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", remember)
    try:
        answer = look()
    finally:
        event.remove(Engine, "before_cursor_execute", remember)
    assert answer.status_code == 200, answer.text
    assert asked, f"nothing was asked of {table}"
    with world.use.database.reading() as session:
        connection = session.connection()
        if world.kind == "sqlite":
            found = [
                " / ".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values))
                for query, values in asked
            ]
            assert [plan for plan in found if "B-TREE" in plan] == []
            # A scan without an order is the key itself, backwards, and no farther than the page.
            scans = [plan for plan, (query, _) in zip(found, asked, strict=True) if f"SCAN {table}" in plan]
            assert [plan for plan in scans if "WHERE" in plan] == []
            return found
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_sort = off"))
        found = [
            " / ".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {query}", values))
            for query, values in asked
        ]
        # An incremental sort is of the few rows that share a moment; any other is of all that fits.
        sorted_plans = [plan for plan in found if "Sort  (" in plan.replace("Incremental Sort  (", "")]
        assert sorted_plans + [plan for plan in found if f"Seq Scan on {table}" in plan] == []
        return found
