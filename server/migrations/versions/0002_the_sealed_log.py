"""The sealed log: tiles, heads, a log's public keys and end, and what entries are looked up by."""

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
    op.add_column("logs", sa.Column("closed_at", MOMENT, nullable=True))
    op.add_column("logs", sa.Column("vkey", sa.String(length=400), nullable=False, server_default=""))
    op.add_column("logs", sa.Column("receipt_vkey", sa.String(length=400), nullable=False, server_default=""))
    op.add_column("log_entries", sa.Column("person", sa.String(length=254), nullable=True))
    op.add_column("log_entries", sa.Column("stage", sa.String(length=200), nullable=True))
    op.add_column("log_entries", sa.Column("code", sa.String(length=64), nullable=True))
    op.create_index("ix_log_entries_appended_at", "log_entries", ["appended_at"])
    op.create_index("ix_log_entries_person_id", "log_entries", ["person", "id"])
    op.create_index("ix_log_entries_stage_id", "log_entries", ["stage", "id"])
    op.create_index(
        "ix_log_entries_code_id", "log_entries", ["code", "id"],
        sqlite_where=sa.text("code IS NOT NULL"), postgresql_where=sa.text("code IS NOT NULL"),
    )  # fmt: skip
    op.create_index("ix_log_entries_organization_id_id", "log_entries", ["organization_id", "id"])
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
    connection = op.get_bind()
    schema = ""
    if connection.dialect.name == "postgresql":
        schema = str(connection.scalar(sa.text("SELECT quote_ident(current_schema())")))
    for statement in _GUARDS[connection.dialect.name]:
        op.execute(statement.replace("@schema@", schema))


def downgrade() -> None:
    raise RuntimeError("what was sealed cannot be unsealed: restore a backup of before instead")


# Heads never change, and a tile only grows at its end. Nothing is appended to a log that was closed, not even by who
# waited for its lock. An entry's record and salt can be emptied once the log says so (privacy law): its commitment
# stays, and so does the tree.
_GUARDS = {
    "sqlite": [
        "DROP TRIGGER log_entries_no_update",
        """CREATE TRIGGER log_entries_no_update BEFORE UPDATE ON log_entries
        WHEN OLD.id IS NOT NEW.id OR OLD.log_id IS NOT NEW.log_id OR OLD.kind IS NOT NEW.kind
          OR OLD.subject IS NOT NEW.subject OR OLD.organization_id IS NOT NEW.organization_id
          OR OLD.appended_at IS NOT NEW.appended_at OR OLD.commitment IS NOT NEW.commitment
          OR OLD.stage IS NOT NEW.stage OR OLD.code IS NOT NEW.code
          OR NOT (
            (OLD.leaf_index IS NULL AND NEW.leaf_index IS NOT NULL AND OLD.person IS NEW.person
              AND OLD.record IS NEW.record AND OLD.salt IS NEW.salt AND NOT EXISTS (
                SELECT 1 FROM log_entries WHERE log_id = NEW.log_id AND leaf_index = NEW.leaf_index))
            OR (OLD.leaf_index IS NOT NULL AND OLD.leaf_index IS NEW.leaf_index AND NEW.person IS NULL
              AND NEW.record = x'' AND NEW.salt = x'' AND EXISTS (
                SELECT 1 FROM log_entries WHERE kind = 'entry.erase' AND subject = CAST(OLD.id AS TEXT)))
          )
        BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END""",
        """CREATE TRIGGER log_entries_only_to_open_logs BEFORE INSERT ON log_entries
        WHEN (SELECT closed_at FROM logs WHERE id = NEW.log_id) IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'the log is closed'); END""",
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
        """CREATE OR REPLACE FUNCTION log_entries_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'UPDATE' THEN
            IF OLD.leaf_index IS NULL AND NEW.leaf_index IS NOT NULL THEN
              OLD.leaf_index := NEW.leaf_index;
              IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
            ELSIF OLD.leaf_index IS NOT NULL AND EXISTS (
              SELECT 1 FROM @schema@.log_entries WHERE kind = 'entry.erase' AND subject = OLD.id::text)
            THEN
              OLD.record := ''::bytea; OLD.salt := ''::bytea; OLD.person := NULL;
              IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
            END IF;
          END IF;
          RAISE EXCEPTION 'the log is only appended to';
        END $$""",
        # Whoever appends waits for whoever closes, and then sees it; with the owner's right to lock the log's row. The
        # schema is named, or a temporary table of whoever appends could pass for it.
        """CREATE FUNCTION log_entries_open_guard() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog AS $$
        BEGIN
          PERFORM 1 FROM @schema@.logs WHERE id = NEW.log_id AND closed_at IS NULL FOR KEY SHARE;
          IF NOT FOUND THEN RAISE EXCEPTION 'the log is closed'; END IF;
          RETURN NEW;
        END $$""",
        """CREATE TRIGGER log_entries_only_to_open_logs BEFORE INSERT ON log_entries
        FOR EACH ROW EXECUTE FUNCTION log_entries_open_guard()""",
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
