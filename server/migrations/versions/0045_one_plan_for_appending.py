"""Appending keeps one plan, which starts near what waits for its seal: it costs the same after hours of downloads.

Once the table was analyzed, PostgreSQL planned anew for each entry, and version 18 then read the index of places from
end to end. Between vacuums each append also read what every sealed entry had left in the index of those that wait.
"""

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None
expands = True

LOCK = 8_245_919_310_247_001  # as in 0035
_APPEND_UNDER = """CREATE OR REPLACE FUNCTION append_under(
  in_generation text, in_log_id bigint, in_kind text, in_subject text, in_organization_id bigint, in_person text,
  in_stage text, in_code text, in_appended_at timestamptz, in_record bytea, in_salt bytea, in_commitment bytea,
  in_ahead_from timestamptz, in_unsealed_since timestamptz
) RETURNS integer LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off @plans@AS $$
DECLARE made integer;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(@lock@);
  INSERT INTO log_entries (log_id, kind, subject, organization_id, person, stage, code, appended_at, record, salt,
                           commitment)
  SELECT in_log_id, in_kind, in_subject, in_organization_id, in_person, in_stage, in_code, in_appended_at, in_record,
         in_salt, in_commitment
    FROM authority WHERE id = 1 AND generation = in_generation
     AND in_log_id = (SELECT max(logs.id) FROM logs)
     AND (SELECT logs.stop_reason FROM logs WHERE logs.id = in_log_id) IS NULL
     AND NOT EXISTS (
       SELECT 1 FROM log_entries entry WHERE entry.appended_at > in_ahead_from AND entry.id + 0 > coalesce(
         (SELECT max(told.id) FROM log_entries told WHERE told.kind = 'clock.acknowledge'), 0))
     AND coalesce((
       SELECT oldest.appended_at FROM log_entries oldest
        WHERE oldest.leaf_index IS NULL AND oldest.log_id + 0 = in_log_id @start@ORDER BY oldest.id LIMIT 1
     ) >= in_unsealed_since, true);
  GET DIAGNOSTICS made = ROW_COUNT;
  RETURN made;
END $$"""
_PLAN = "SET enable_sort = off SET plan_cache_mode = force_generic_plan "
# Ids are given before the commit, so what waits can have a lower one than what is sealed, by a few. One that came with
# its commit so much later is sealed as any other; only this question, whether anybody seals, leaves it out.
_START = """AND oldest.id > coalesce((
           SELECT sealed.id FROM log_entries sealed WHERE sealed.log_id = in_log_id AND sealed.leaf_index = (
             SELECT max(head.size) FROM log_heads head WHERE head.log_id = in_log_id) - 5000
         ), (-9223372036854775808)::bigint)
        """


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_append_under(plans=_PLAN, start=_START))


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_append_under(plans="", start=""))


def _append_under(*, plans: str, start: str) -> str:
    return _APPEND_UNDER.replace("@lock@", str(LOCK)).replace("@plans@", plans).replace("@start@", start)
