"""Authority: a random number that changes whenever a row changes on which a decision to issue may rest.

Who changes such a row says so at the end, before an entry is appended or the transaction is committed: until then
downloads go on under what holds, and nobody waits for a lock in an order in which two could wait for each other.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

ALL = ""
# Which tables, and which of their columns. A new token, person or organization changes nobody else's standing.
CHANGES = {
    "agreement_versions": ("INSERT", ALL, "DELETE"),
    "agreements": ("INSERT", ALL, "DELETE"),
    "checkpoints": ("checkpoint_id, stage_id, published_at", "DELETE"),
    "clearances": ("INSERT", ALL, "DELETE"),
    "everything": ("INSERT", ALL, "DELETE"),
    "logs": ("INSERT", ALL, "DELETE"),
    "models": ("INSERT", ALL, "DELETE"),
    "organizations": ("slug, suspended_at", "DELETE"),
    "people": ("organization_id, email, role, disabled_at", "DELETE"),
    "quotas": ("INSERT", "bytes_per_day, requests_per_minute", "DELETE"),
    "signatures": ("INSERT", ALL, "DELETE"),
    "stage_aliases": ("INSERT", ALL, "DELETE"),
    "stages": ("INSERT", ALL, "DELETE"),
    "tiers": ("INSERT", ALL, "DELETE"),
    "tokens": (
        "public_id, secret_sha256, organization_id, person_id, scopes, networks, expires_at, revoked_at", "DELETE"
    ),
}  # fmt: skip
LOCK = 8_245_919_310_247_001  # of this database alone; whoever issues shares it, whoever changes a row has it alone

_POSTGRESQL = [
    # With the owner's right: whoever may change a row may not choose the number. The schema is named, or a temporary
    # table could pass for it.
    """CREATE FUNCTION authority_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock(@lock@);
      UPDATE @schema@.authority SET generation = gen_random_uuid()::text
        WHERE id = 1 AND xmin <> pg_current_xact_id()::xid;
      RETURN NULL;
    END $$""",
    """CREATE FUNCTION authority_announced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      SET CONSTRAINTS ALL IMMEDIATE;
      RETURN NULL;
    END $$""",
    """CREATE TRIGGER log_entries_after_authority BEFORE INSERT ON log_entries
    FOR EACH STATEMENT EXECUTE FUNCTION authority_announced()""",
    # The lock and the reading are two statements: in one, the reading would be of before the wait.
    """CREATE FUNCTION append_under(
      in_generation text, in_log_id bigint, in_kind text, in_subject text, in_organization_id bigint, in_person text,
      in_stage text, in_code text, in_appended_at timestamptz, in_record bytea, in_salt bytea, in_commitment bytea,
      in_ahead_from timestamptz, in_unsealed_since timestamptz
    ) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE made integer;
    BEGIN
      PERFORM pg_advisory_xact_lock_shared(@lock@);
      INSERT INTO log_entries (log_id, kind, subject, organization_id, person, stage, code, appended_at, record, salt,
                               commitment)
      SELECT in_log_id, in_kind, in_subject, in_organization_id, in_person, in_stage, in_code, in_appended_at, in_record,
             in_salt, in_commitment
        FROM authority WHERE generation = in_generation
         AND in_log_id = (SELECT max(logs.id) FROM logs)
         AND (SELECT logs.stop_reason FROM logs WHERE logs.id = in_log_id) IS NULL
         AND NOT EXISTS (
           SELECT 1 FROM log_entries entry WHERE entry.appended_at > in_ahead_from AND entry.id > coalesce(
             (SELECT max(told.id) FROM log_entries told WHERE told.kind = 'clock.acknowledge'), 0))
         AND coalesce((
           SELECT oldest.appended_at FROM log_entries oldest
            WHERE oldest.leaf_index IS NULL AND oldest.log_id = in_log_id ORDER BY oldest.id LIMIT 1
         ) >= in_unsealed_since, true);
      GET DIAGNOSTICS made = ROW_COUNT;
      RETURN made;
    END $$""",
]


def upgrade() -> None:
    authority = op.create_table(
        "authority",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("generation", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_authority")),
    )
    op.bulk_insert(authority, [{"id": 1, "generation": secrets.token_hex(16)}])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        schema = connection.scalar(sa.text("SELECT quote_ident(current_schema())"))
        for statement in _POSTGRESQL:
            op.execute(statement.replace("@schema@", schema).replace("@lock@", str(LOCK)))
    for table, changes in CHANGES.items():
        guard = _on_postgresql if connection.dialect.name == "postgresql" else _on_sqlite
        for statement in guard(table, changes):
            op.execute(statement)


def _on_postgresql(table: str, changes: tuple[str, ...]) -> list[str]:
    """At the end of the transaction, or before its entry is appended. A table is emptied at once."""
    return [
        f"""CREATE CONSTRAINT TRIGGER {table}_authority AFTER {" OR ".join(map(_event, changes))} ON {table}
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION authority_changed()""",
        f"""CREATE TRIGGER {table}_authority_emptied BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION authority_changed()""",
    ]


def _on_sqlite(table: str, changes: tuple[str, ...]) -> list[str]:
    """SQLite has one writer at a time: at once is as good."""
    then = "BEGIN UPDATE authority SET generation = lower(hex(randomblob(16))) WHERE id = 1; END"
    return [
        f"CREATE TRIGGER {table}_authority_{number} AFTER {_event(change)} ON {table} {then}"
        for number, change in enumerate(changes)
    ]


def _event(change: str) -> str:
    """`INSERT`, `DELETE`, or the columns whose change counts."""
    if change in {"INSERT", "DELETE"}:
        return change
    return f"UPDATE OF {change}" if change else "UPDATE"


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in CHANGES:
            op.execute(f"DROP TRIGGER {table}_authority ON {table}")
            op.execute(f"DROP TRIGGER {table}_authority_emptied ON {table}")
        op.execute("DROP TRIGGER log_entries_after_authority ON log_entries")
        for function in ("append_under", "authority_announced", "authority_changed"):
            op.execute(f"DROP FUNCTION {function}")
    else:
        for table, changes in CHANGES.items():
            for number, _ in enumerate(changes):
                op.execute(f"DROP TRIGGER {table}_authority_{number}")
    op.drop_table("authority")
