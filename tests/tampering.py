"""What somebody can do who owns the database: take the guards away, and change what nobody may change."""

from typing import Any

from sqlalchemy import Connection, create_engine, text

GUARDED = ("logs", "log_entries", "log_tiles", "log_heads")


def run(url: str, *statements: str, **values: Any) -> list[Any]:
    """Run statements as the owner, past every guard; return the rows of the last one, if it gives any."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            _disarm(connection)
            rows: list[Any] = []
            for statement in statements:
                result = connection.execute(text(statement), values)
                rows = list(result) if result.returns_rows else []
            return rows
    finally:
        engine.dispose()


def flip(url: str, table: str, column: str, where: str, at: int = 0) -> None:
    """Change one byte of one row's column. at: its place; from the end when negative."""
    ((before,),) = run(url, f"SELECT {column} FROM {table} WHERE {where}")  # noqa: S608
    after = bytearray(before)
    after[at] ^= 1
    run(url, f"UPDATE {table} SET {column} = :after WHERE {where}", after=bytes(after))  # noqa: S608


def _disarm(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        for table in GUARDED:
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        return
    triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
    for (name,) in triggers.all():
        connection.execute(text(f"DROP TRIGGER {name}"))
