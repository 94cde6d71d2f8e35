"""The sealed log: tiles, heads, and a place to say that it is stopped."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("logs", sa.Column("stopped_at", MOMENT, nullable=True))
    op.add_column("logs", sa.Column("stop_reason", sa.String(length=1000), nullable=True))
    op.create_table(
        "log_tiles",
        sa.Column("log_id", KEY, nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("number", KEY, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name=op.f("fk_log_tiles_log_id_logs")),
        sa.PrimaryKeyConstraint("log_id", "level", "number", name=op.f("pk_log_tiles")),
    )
    op.create_table(
        "log_heads",
        sa.Column("id", KEY, nullable=False),
        sa.Column("log_id", KEY, nullable=False),
        sa.Column("size", KEY, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=False),
        sa.Column("sealed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name=op.f("fk_log_heads_log_id_logs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_heads")),
        sa.UniqueConstraint("log_id", "size", name=op.f("uq_log_heads_log_id_size")),
    )
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("log_heads")
    op.drop_table("log_tiles")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION log_heads_guard()")
        op.execute("DROP FUNCTION log_tiles_guard()")
    op.drop_column("logs", "stop_reason")
    op.drop_column("logs", "stopped_at")


# Heads never change, and a tile only grows at its end.
_GUARDS = {
    "sqlite": [
        """CREATE TRIGGER log_heads_no_delete BEFORE DELETE ON log_heads
        BEGIN SELECT RAISE(ABORT, 'heads are kept as they were signed'); END""",
        """CREATE TRIGGER log_heads_no_update BEFORE UPDATE ON log_heads
        BEGIN SELECT RAISE(ABORT, 'heads are kept as they were signed'); END""",
        """CREATE TRIGGER log_tiles_no_delete BEFORE DELETE ON log_tiles
        BEGIN SELECT RAISE(ABORT, 'tiles only grow'); END""",
        """CREATE TRIGGER log_tiles_only_grow BEFORE UPDATE ON log_tiles
        WHEN OLD.log_id IS NOT NEW.log_id OR OLD.level IS NOT NEW.level OR OLD.number IS NOT NEW.number
          OR length(NEW.data) <= length(OLD.data) OR substr(NEW.data, 1, length(OLD.data)) IS NOT OLD.data
        BEGIN SELECT RAISE(ABORT, 'tiles only grow'); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION log_heads_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'heads are kept as they were signed'; END $$""",
        """CREATE TRIGGER log_heads_kept BEFORE UPDATE OR DELETE ON log_heads
        FOR EACH ROW EXECUTE FUNCTION log_heads_guard()""",
        """CREATE TRIGGER log_heads_never_emptied BEFORE TRUNCATE ON log_heads
        FOR EACH STATEMENT EXECUTE FUNCTION log_heads_guard()""",
        """CREATE FUNCTION log_tiles_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'UPDATE' THEN
            IF (OLD.log_id, OLD.level, OLD.number) = (NEW.log_id, NEW.level, NEW.number)
              AND length(NEW.data) > length(OLD.data)
              AND substring(NEW.data FROM 1 FOR length(OLD.data)) = OLD.data
            THEN RETURN NEW; END IF;
          END IF;
          RAISE EXCEPTION 'tiles only grow';
        END $$""",
        """CREATE TRIGGER log_tiles_only_grow BEFORE UPDATE OR DELETE ON log_tiles
        FOR EACH ROW EXECUTE FUNCTION log_tiles_guard()""",
        """CREATE TRIGGER log_tiles_never_emptied BEFORE TRUNCATE ON log_tiles
        FOR EACH STATEMENT EXECUTE FUNCTION log_tiles_guard()""",
    ],
}
