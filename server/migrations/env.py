"""Alembic's entry: which database, which tables."""

from functools import partial

from alembic import context
from sqlalchemy import create_engine, event, pool

from server.domain.schema import METADATA
from server.migrations import support

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool, hide_parameters=True)
if engine.dialect.name == "sqlite":
    # The driver would commit before each CREATE TABLE: a migration that dies must leave nothing.
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
else:
    # Everybody else waits behind a migration that waits for a table: it gives up instead, and has changed nothing.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'"))

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        compare_type=True,
        include_object=support.is_in_use,
        render_as_batch=engine.dialect.name == "sqlite",
        transaction_per_migration=True,
        on_version_apply=partial(support.note, context.script),
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
