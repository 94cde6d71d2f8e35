"""Archived months: a download's record can be emptied once a sealed entry says in which file its month is kept.

Older code takes an emptied record for one that was changed, and stops the log at the first: every machine is updated
before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None
expands = False

# Salt, commitment, place and person stay, and so do proofs. What else may change is as in 0002.
_SQLITE = """CREATE TRIGGER log_entries_no_update BEFORE UPDATE ON log_entries
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
        @archived@
      )
    BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END"""
_SQLITE_ARCHIVED = """OR (OLD.leaf_index IS NOT NULL AND OLD.leaf_index IS NEW.leaf_index AND OLD.kind = 'download'
          AND OLD.person IS NEW.person AND OLD.salt IS NEW.salt AND NEW.record = x'' AND EXISTS (
            SELECT 1 FROM log_entries WHERE kind = 'log.archive' AND subject = substr(OLD.appended_at, 1, 7)
              AND leaf_index IS NOT NULL))"""
_POSTGRESQL = """CREATE OR REPLACE FUNCTION log_entries_guard() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' THEN
        IF OLD.leaf_index IS NULL AND NEW.leaf_index IS NOT NULL THEN
          OLD.leaf_index := NEW.leaf_index;
          IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
        ELSIF OLD.leaf_index IS NOT NULL THEN
          @archived@
          IF EXISTS (
            SELECT 1 FROM @schema@.log_entries WHERE kind = 'entry.erase' AND subject = OLD.id::text)
          THEN
            OLD.record := ''::bytea; OLD.salt := ''::bytea; OLD.person := NULL;
            IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
          END IF;
        END IF;
      END IF;
      RAISE EXCEPTION 'the log is only appended to';
    END $$"""
_POSTGRESQL_ARCHIVED = """IF OLD.kind = 'download' AND EXISTS (
            SELECT 1 FROM @schema@.log_entries
            WHERE kind = 'log.archive' AND subject = to_char(OLD.appended_at AT TIME ZONE 'UTC', 'YYYY-MM')
              AND leaf_index IS NOT NULL)
          THEN
            OLD.record := ''::bytea;
            IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
          END IF;"""


def upgrade() -> None:
    _guard(_SQLITE_ARCHIVED, _POSTGRESQL_ARCHIVED)


def downgrade() -> None:
    emptied = "SELECT id FROM log_entries WHERE length(record) = 0 AND length(salt) > 0 LIMIT 1"
    if op.get_bind().scalar(sa.text(emptied)) is not None:
        raise RuntimeError("the code before takes archived records for changed ones: restore a backup instead")
    _guard("", "")


def _guard(on_sqlite: str, on_postgresql: str) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute("DROP TRIGGER IF EXISTS log_entries_no_update")  # or by hand
        op.execute(_SQLITE.replace("@archived@", on_sqlite))
    else:
        schema = str(connection.scalar(sa.text("SELECT quote_ident(current_schema())")))
        op.execute(_POSTGRESQL.replace("@archived@", on_postgresql).replace("@schema@", schema))
