"""Alembic's entry: which database, which tables."""

from functools import partial

from alembic import context
from sqlalchemy import create_engine, event, pool

from server.domain.schema import METADATA
from server.migrations import support

# Everybody else waits behind a migration that waits for a table: it gives up instead, and has changed nothing.
WAITS_FOR_A_TABLE = "-c lock_timeout=5s"

url = context.config.attributes["url"]
told = {} if url.startswith("sqlite") else {"options": WAITS_FOR_A_TABLE}
engine = create_engine(url, poolclass=pool.NullPool, hide_parameters=True, connect_args=told)
if engine.dialect.name == "sqlite":
    # The driver would commit before each CREATE TABLE: a migration that dies must leave nothing.
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        compare_type=True,
        render_as_batch=engine.dialect.name == "sqlite",
        transaction_per_migration=True,
        on_version_apply=partial(support.note, context.script),
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
