"""Supported code: the schema says which is the oldest code that works on it."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None
expands = False


def upgrade() -> None:
    op.create_table(
        "supported_code",
        sa.Column("oldest", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("oldest", name=op.f("pk_supported_code")),
    )


def downgrade() -> None:
    op.drop_table("supported_code")
