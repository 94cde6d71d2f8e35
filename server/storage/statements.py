"""Statements for the hot path: built and compiled once, then run on the driver itself.

Building a select anew and running it through the ORM costs twenty times what SQLite needs to answer it. A Statement is
written with the same tables and columns, means the same on both databases, and joins the transaction of the session
that it is given; only what happens on each call is less.
"""

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Executable, Select
from sqlalchemy.orm import Session

DRIVER = "driver"  # in a session's info: the driver's connection, when whoever made the session knows it


class Statement:
    """One select or insert with `bindparam`s for what differs between calls. Safe for threads."""

    def __init__(self, statement: Executable, share: Sequence[Any] = ()) -> None:
        """share: the tables whose rows `lock=True` keeps from changing until the transaction ends."""
        self._statement = statement
        self._share = list(share)
        self._compiled: dict[tuple[type, bool], _Compiled] = {}

    def all(self, session: Session, *, lock: bool = False, **parameters: Any) -> list[Any]:
        """Return the rows, as named tuples."""
        driver = driver_of(session)
        compiled = self._compiled.get((type(driver), lock)) or self._compile(session, driver, lock)
        return compiled.rows(driver.execute(compiled.text, compiled.bind(parameters)).fetchall())

    def first(self, session: Session, *, lock: bool = False, **parameters: Any) -> Any:
        """Return the only row that there can be, or None."""
        rows = self.all(session, lock=lock, **parameters)
        return rows[0] if rows else None

    def run(self, session: Session, **parameters: Any) -> int:
        """Run an insert; returns how many rows it made."""
        driver = driver_of(session)
        compiled = self._compiled.get((type(driver), False)) or self._compile(session, driver, False)
        count: int = driver.execute(compiled.text, compiled.bind(parameters)).rowcount
        return count

    def _compile(self, session: Session, driver: Any, lock: bool) -> "_Compiled":
        statement = self._statement
        if lock and isinstance(statement, Select):
            statement = statement.with_for_update(read=True, of=self._share)
        compiled = self._compiled[type(driver), lock] = _Compiled(statement, session.get_bind().dialect)
        return compiled


class _Compiled:
    """A statement's text for one database, and how values go in and come out."""

    def __init__(self, statement: Any, dialect: Any) -> None:
        compiled = statement.compile(dialect=dialect)
        self.text = str(compiled)
        self._order = compiled.positiontup  # None where parameters are named
        self._constants = dict(compiled.params)
        self._inward = {
            name: processor
            for bind, name in compiled.bind_names.items()
            if (processor := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        for name, value in self._constants.items():
            if value is not None and name in self._inward:
                self._constants[name] = self._inward[name](value)
        columns = list(statement.selected_columns) if isinstance(statement, Select) else []
        # The rows' class is made from the query's own names, which no annotation can foresee.
        row: Any = namedtuple("Row", " ".join(str(column.key) for column in columns))  # type: ignore[misc]
        self._make = row._make
        outward = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._outward: list[tuple[int, Callable[[Any], Any]]] = [
            (place, process) for place, process in enumerate(outward) if process is not None
        ]

    def bind(self, parameters: dict[str, Any]) -> Any:
        values = self._constants | parameters
        for name in parameters:
            if name in self._inward:
                values[name] = self._inward[name](values[name])
        return values if self._order is None else [values[name] for name in self._order]

    def rows(self, raw: list[Any]) -> list[Any]:
        if not self._outward:
            return [self._make(values) for values in raw]
        return [self._make(_processed(values, self._outward)) for values in raw]


def driver_of(session: Session) -> Any:
    """The driver's own connection, inside the session's transaction."""
    driver = session.info.get(DRIVER)
    return session.connection().connection.driver_connection if driver is None else driver


def _processed(values: Any, outward: list[tuple[int, Callable[[Any], Any]]]) -> list[Any]:
    changed = list(values)
    for place, process in outward:
        changed[place] = process(changed[place])
    return changed
