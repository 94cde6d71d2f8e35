"""What was refused is found by the ID of its request, which people quote."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NAME = "ix_refusals_request_id"


def upgrade() -> None:
    op.create_index(NAME, "refusals", ["request_id"])


def downgrade() -> None:
    op.drop_index(NAME, table_name="refusals")
