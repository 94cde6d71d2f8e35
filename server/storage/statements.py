"""Statements for the hot path: built and compiled once, then run on the driver itself.

Building a select anew and running it through the ORM costs twenty times what SQLite needs to answer it. A Statement is
written with the same tables and columns, means the same on both databases, and joins the transaction of the session
that it is given; only what happens on each call is less. What a row holds is declared, and checked when the Statement
is made: a type check of whoever reads the row then sees the truth.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

from sqlalchemy import ColumnElement, Dialect, Executable, Insert, Select
from sqlalchemy.orm import Session

DRIVER = "driver"  # in a session's info: the driver's connection, when whoever made the session knows it
Row = TypeVar("Row", bound=NamedTuple)


class RowDoesNotFit(TypeError):
    """A row's type is not what its select gives: another name, order or type. The module is not imported."""


class Statement(Generic[Row]):
    """One select with `bindparam`s for what differs between calls; each row is a `row`. Safe for threads."""

    def __init__(self, statement: Select[*tuple[Any, ...]], row: type[Row], share: Sequence[Any] = ()) -> None:
        """share: the tables whose rows `lock=True` keeps from changing until the transaction ends.

        row: has a field for each column, of its name and Python type, `| None` where the column is nullable (what an
        outer join leaves empty is for the writer to say); text may be declared as an enumeration. Raises RowDoesNotFit.
        """
        _require_fit(statement, row)
        self._row = row
        self._prepared = _Prepared(statement, _enumerations(row), share)

    def all(self, session: Session, *, lock: bool = False, **parameters: Any) -> list[Row]:
        """Return the rows."""
        return self.all_on(driver_of(session), session.get_bind().dialect, lock=lock, **parameters)

    def all_on(self, driver: Any, dialect: Dialect, *, lock: bool = False, **parameters: Any) -> list[Row]:
        """The same on a driver's connection at hand."""
        compiled = self._prepared.compiled(dialect, driver, lock)
        raw = driver.execute(compiled.text, compiled.bind(parameters)).fetchall()
        make, outward = self._row._make, compiled.outward
        return [make(_processed(values, outward)) for values in raw] if outward else [make(values) for values in raw]

    def first(self, session: Session, *, lock: bool = False, **parameters: Any) -> Row | None:
        """Return the only row that there can be, or None."""
        rows = self.all(session, lock=lock, **parameters)
        return rows[0] if rows else None


class Insertion:
    """One insert, in the same way."""

    def __init__(self, statement: Insert) -> None:
        self._prepared = _Prepared(statement, {}, ())

    def run(self, session: Session, **parameters: Any) -> int:
        """Run it; returns how many rows it made."""
        return self.run_on(driver_of(session), session.get_bind().dialect, **parameters)

    def run_on(self, driver: Any, dialect: Dialect, **parameters: Any) -> int:
        """The same on a driver's connection at hand."""
        compiled = self._prepared.compiled(dialect, driver, False)
        count: int = driver.execute(compiled.text, compiled.bind(parameters)).rowcount
        return count


class _Prepared:
    """A statement, compiled once for each database, with and without locks."""

    def __init__(self, statement: Executable, enumerations: dict[int, type[StrEnum]], share: Sequence[Any]) -> None:
        self._statement = statement
        self._enumerations = enumerations
        self._share = list(share)
        self._compiled: dict[tuple[type, bool], _Compiled] = {}

    def compiled(self, dialect: Dialect, driver: Any, lock: bool) -> "_Compiled":
        return self._compiled.get((type(driver), lock)) or self._compile(dialect, driver, lock)

    def _compile(self, dialect: Dialect, driver: Any, lock: bool) -> "_Compiled":
        statement = self._statement
        if lock and isinstance(statement, Select):
            statement = statement.with_for_update(read=True, of=self._share)
        compiled = _Compiled(statement, dialect, self._enumerations)
        self._compiled[type(driver), lock] = compiled
        return compiled


class _Compiled:
    """A statement's text for one database, and how values go in and come out."""

    def __init__(self, statement: Any, dialect: Any, enumerations: dict[int, type[StrEnum]]) -> None:
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
        outward = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self.outward: list[tuple[int, Callable[[Any], Any]]] = [
            (place, process) for place, process in enumerate(outward) if process is not None
        ]
        self.outward += enumerations.items()

    def bind(self, parameters: dict[str, Any]) -> Any:
        values = self._constants | parameters
        for name in parameters:
            if name in self._inward:
                values[name] = self._inward[name](values[name])
        return values if self._order is None else [values[name] for name in self._order]


def driver_of(session: Session) -> Any:
    """The driver's own connection, inside the session's transaction."""
    driver = session.info.get(DRIVER)
    return session.connection().connection.driver_connection if driver is None else driver


def _processed(values: Any, outward: list[tuple[int, Callable[[Any], Any]]]) -> list[Any]:
    changed = list(values)
    for place, process in outward:
        changed[place] = process(changed[place])
    return changed


def _require_fit(statement: Select[*tuple[Any, ...]], row: type[NamedTuple]) -> None:
    columns, hints = list(statement.selected_columns), get_type_hints(row)
    if [column.key for column in columns] != list(row._fields):
        raise RowDoesNotFit(f"{row.__name__} has {row._fields}, the select {[column.key for column in columns]}")
    for column in columns:
        if not _fits(column, hints[str(column.key)]):
            raise RowDoesNotFit(f"{row.__name__}.{column.key}: {hints[str(column.key)]} does not hold {column.type!r}")


def _fits(column: ColumnElement[Any], hint: Any) -> bool:
    """Whether a field of this type can hold whatever the column gives."""
    nullable = getattr(getattr(column, "element", column), "nullable", True)  # of what a label names
    kind = column.type.python_type
    if _is_enumeration(hint):
        return kind is str and not nullable
    return hint == kind | None or (hint is kind and not nullable)


def _enumerations(row: type[NamedTuple]) -> dict[int, type[StrEnum]]:
    """Which fields, by their places, are declared as enumerations."""
    hints = get_type_hints(row)
    return {place: hints[name] for place, name in enumerate(row._fields) if _is_enumeration(hints[name])}


def _is_enumeration(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, StrEnum)
