"""What each PostgreSQL role may do: the web only appends to the log, and the worker alone grows the tree.

Whoever breaks into one of them cannot do what the other does, and neither owns a table: no guard can be taken away.
"""

from collections.abc import Iterator

from psycopg import sql
from sqlalchemy import Connection, create_engine, inspect, make_url, pool, text

from server.migrations import turns

# Never written by the web, though it appends entries.
LOG_TABLES = frozenset({
    "logs", "log_entries", "log_tiles", "log_heads", "cosignatures", "witness_views", "anchored_logs", "mirrored_logs",
    "alembic_version", "instance_id", "authority", "supported_code",
})  # fmt: skip
# Given by a sequence and by the sealer: who appends chooses neither.
NOT_APPENDED = frozenset({"id", "leaf_index"})
APPEND = "append"
WRITE = ("INSERT", "UPDATE", "DELETE")
# All that the worker writes; a column in brackets is the only one it may change.
SEALER_WRITES: dict[str, tuple[str, ...]] = {
    "log_entries": (APPEND, "UPDATE (leaf_index)"),
    "log_tiles": ("INSERT", "UPDATE (data)"),
    "log_heads": ("INSERT",),
    "logs": ("UPDATE (stop_reason, stopped_at)",),
    "deliveries": WRITE,
    "alarms": WRITE,
    "seen_minutes": WRITE,
    "read_objects": WRITE,
    "followed_logs": WRITE,
    "reconciliation_lock": WRITE,
    "cuts": ("UPDATE",),
    "mails": WRITE,
    "nodes": WRITE,
    "decisions": ("UPDATE (state, evidence_when_done, closed_at, blocked_because, done_at)",),
    "stages": ("UPDATE (state, state_since)",),
    "models": ("UPDATE (id)",),  # to lock what a hold is placed on: it changes none
    "everything": ("UPDATE (id)",),
    "findings": ("UPDATE (state, triaged_at)",),
    "reminders": ("INSERT",),
    "verifications": WRITE,
    "ceremonies": ("DELETE",),
    "finding_attachments": ("DELETE", "UPDATE (id)"),
    "password_resets": ("DELETE",),
    "upload_files": ("DELETE",),
    "uploads": ("DELETE", "UPDATE (id)"),
    "sessions": ("DELETE",),
    "traffic_days": WRITE,
    "sealing_days": WRITE,
    "counted_logs": WRITE,
    "anchored_logs": WRITE,
    "mirrored_logs": WRITE,
    "cosignatures": WRITE,
    "witness_views": WRITE,
}


def give(owner_url: str, web_url: str, sealer_url: str) -> None:
    """Give the web's and the sealer's role exactly what they need in the owner's schema, and take what else they have.

    A role that owns the tables is left as it is, and so is one role that is both: it was given its rights by hand.
    Does nothing on SQLite, which has no roles. Safe to run again, and twice at the same moment. Raises SQLAlchemyError.
    """
    owner, web, sealer = (make_url(url).username for url in (owner_url, web_url, sealer_url))
    if make_url(owner_url).get_backend_name() != "postgresql" or web == sealer:
        return
    engine = create_engine(owner_url, poolclass=pool.NullPool, hide_parameters=True)
    try:
        with turns.alone(owner_url), engine.begin() as connection:  # PostgreSQL refuses two that grant at once
            tables = inspect(connection).get_table_names()
            if web not in {owner, None}:
                _replace(connection, str(web), tables, _web_writes(tables))
            if sealer not in {owner, None}:
                _replace(connection, str(sealer), tables, SEALER_WRITES)
    finally:
        engine.dispose()


def _web_writes(tables: list[str]) -> dict[str, tuple[str, ...]]:
    return {"log_entries": (APPEND,)} | {table: WRITE for table in tables if table not in LOG_TABLES}


def _replace(connection: Connection, role: str, tables: list[str], writes: dict[str, tuple[str, ...]]) -> None:
    """Take everything, then give what is listed: in one transaction, so that nobody at work meanwhile is refused."""
    to = sql.Identifier(role)
    schema = sql.Identifier(str(connection.scalar(text("SELECT current_schema()"))))
    for kind in ("TABLES", "SEQUENCES"):
        revoke = sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA {} FROM {}").format(sql.SQL(kind), schema, to)
        _run(connection, revoke)
    _run(connection, sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, to))
    _run(connection, sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, to))
    for table in sorted(writes.keys() & set(tables)):
        for right in writes[table]:
            target = sql.Identifier(table)
            _run(connection, sql.SQL("GRANT {} ON {} TO {}").format(_right(connection, table, right), target, to))
        if {APPEND, "INSERT"} & set(writes[table]):
            for sequence in _sequences(connection, table):
                _run(connection, sql.SQL("GRANT USAGE ON SEQUENCE {} TO {}").format(sql.Identifier(sequence), to))


def _right(connection: Connection, table: str, right: str) -> sql.Composable:
    if right != APPEND:
        return sql.SQL(right)
    columns = [column["name"] for column in inspect(connection).get_columns(table)]
    given = [sql.Identifier(column) for column in columns if column not in NOT_APPENDED]
    return sql.SQL("INSERT ({})").format(sql.SQL(", ").join(given))


def _sequences(connection: Connection, table: str) -> Iterator[str]:
    """The sequences that give a table its keys."""
    query = text(
        "SELECT sequence.relname FROM pg_class sequence JOIN pg_depend ON pg_depend.objid = sequence.oid "
        "AND pg_depend.deptype IN ('a', 'i') WHERE sequence.relkind = 'S' "
        "AND pg_depend.refobjid = to_regclass(quote_ident(:table_name))"
    )
    yield from connection.scalars(query, {"table_name": table})


def _run(connection: Connection, statement: sql.Composed) -> None:
    # Without parameters the driver leaves a % in a role's name alone.
    connection.execution_options(no_parameters=True).exec_driver_sql(statement.as_string())
