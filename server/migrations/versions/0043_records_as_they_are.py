"""Records are stored as they are: PostgreSQL does not try to compress each large one while a download waits for it.

A record of many files is hashes in hexadecimals for the most part, of which half could be saved. New records only: both
kinds are read alike.
"""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    _store("EXTERNAL")


def downgrade() -> None:
    _store("EXTENDED")


def _store(how: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE log_entries ALTER COLUMN record SET STORAGE {how}")
