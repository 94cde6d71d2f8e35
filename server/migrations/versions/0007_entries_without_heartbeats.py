"""A list of the log without its heartbeats: by an index, however many of them lie between two acts."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAME = "ix_log_entries_acts"


def upgrade() -> None:
    # As text, since a partial index counts for a query only where both say the same.
    op.execute(f"CREATE INDEX {NAME} ON log_entries (id) WHERE kind <> 'heartbeat'")


def downgrade() -> None:
    op.drop_index(NAME, table_name="log_entries")
