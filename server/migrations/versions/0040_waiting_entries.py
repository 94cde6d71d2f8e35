"""Checking the log's condition stays cheap between vacuums, however many entries were sealed since.

Sealing an entry leaves its old row version in the index of those that wait, and in the index of places one without a
number. PostgreSQL took the second index, and read every one of them for each entry that was appended.
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None
expands = True

LOCK = 8_245_919_310_247_001  # as in 0035
# Its plans are made while the tables are small and kept for long: they are those of large ones from the start.
_APPEND_UNDER = """CREATE OR REPLACE FUNCTION append_under(
  in_generation text, in_log_id bigint, in_kind text, in_subject text, in_organization_id bigint, in_person text,
  in_stage text, in_code text, in_appended_at timestamptz, in_record bytea, in_salt bytea, in_commitment bytea,
  in_ahead_from timestamptz, in_unsealed_since timestamptz
) RETURNS integer LANGUAGE plpgsql @plans@AS $$
DECLARE made integer;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(@lock@);
  INSERT INTO log_entries (log_id, kind, subject, organization_id, person, stage, code, appended_at, record, salt,
                           commitment)
  SELECT in_log_id, in_kind, in_subject, in_organization_id, in_person, in_stage, in_code, in_appended_at, in_record,
         in_salt, in_commitment
    FROM authority WHERE @row@generation = in_generation
     AND in_log_id = (SELECT max(logs.id) FROM logs)
     AND (SELECT logs.stop_reason FROM logs WHERE logs.id = in_log_id) IS NULL
     AND NOT EXISTS (
       SELECT 1 FROM log_entries entry WHERE entry.appended_at > in_ahead_from AND entry.id@any@ > coalesce(
         (SELECT max(told.id) FROM log_entries told WHERE told.kind = 'clock.acknowledge'), 0))
     AND coalesce((
       SELECT oldest.appended_at FROM log_entries oldest
        WHERE oldest.leaf_index IS NULL AND oldest.log_id@any@ = in_log_id ORDER BY oldest.id LIMIT 1
     ) >= in_unsealed_since, true);
  GET DIAGNOSTICS made = ROW_COUNT;
  RETURN made;
END $$"""
_FOR_LARGE_TABLES = {
    "@plans@": "SET enable_seqscan = off SET enable_bitmapscan = off ",
    "@any@": " + 0",
    "@row@": "id = 1 AND ",
}
_AS_BEFORE = {"@plans@": "", "@any@": "", "@row@": ""}
# A vacuum after so many, however large the table is, since what waits is looked for among them.
# With the indexes, too, which it passes over while few pages of a large table have dead rows.
_VACUUM = {"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "20000", "vacuum_index_cleanup": "on"}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_append_under(_FOR_LARGE_TABLES))
        op.execute(f"ALTER TABLE log_entries SET ({', '.join(f'{name} = {it}' for name, it in _VACUUM.items())})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_append_under(_AS_BEFORE))
        op.execute(f"ALTER TABLE log_entries RESET ({', '.join(_VACUUM)})")


def _append_under(parts: dict[str, str]) -> str:
    text = _APPEND_UNDER.replace("@lock@", str(LOCK))
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text
