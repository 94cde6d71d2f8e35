"""Nodes: which processes of the instance run where, and with which settings and keys."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "nodes",
        sa.Column("machine", sa.String(length=300), nullable=False),
        sa.Column("process", sa.String(length=20), nullable=False),
        sa.Column("agreed", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("machine", "process", name=op.f("pk_nodes")),
    )


def downgrade() -> None:
    op.drop_table("nodes")
