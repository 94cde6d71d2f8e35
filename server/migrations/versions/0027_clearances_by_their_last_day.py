"""An index for the list of clearances in the order of their last days."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_clearances_expires_at_id", "clearances", ["expires_at", "id"])


def downgrade() -> None:
    op.drop_index("ix_clearances_expires_at_id", "clearances")
