"""Cuts of issued URLs at the store, and who suspended an organization: a suspension is a hold like any other."""

import sqlalchemy as sa
from alembic import op

from server.storage.database import Moment

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# Rows of before did not keep who suspended an organization; the entry of it did.
_BY_WHOM = """
    UPDATE organizations SET suspended_by = (
        SELECT person FROM log_entries
        WHERE kind = 'organization.suspend' AND organization_id = organizations.id ORDER BY id DESC LIMIT 1
    ) WHERE suspended_at IS NOT NULL
"""


def upgrade() -> None:
    op.add_column("organizations", sa.Column("suspended_by", sa.String(length=254), nullable=True))
    op.execute(_BY_WHOM)
    op.create_table(
        "cuts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("on", sa.String(length=200), nullable=False),
        sa.Column("asked_by", sa.String(length=254), nullable=True),
        sa.Column("asked_at", Moment(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("way", sa.String(length=8), nullable=True),
        sa.Column("milliseconds", KEY, nullable=True),
        sa.Column("done_at", Moment(), nullable=True),
        sa.Column("told", sa.Text(), nullable=True),
        sa.Column("lifted_at", Moment(), nullable=True),
        sa.Column("due_at", Moment(), nullable=True),
        sa.Column("claimed_until", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cuts")),
    )
    op.create_index(op.f("ix_cuts_on"), "cuts", ["on"])
    op.create_index(op.f("ix_cuts_due_at"), "cuts", ["due_at"])


def downgrade() -> None:
    op.drop_table("cuts")
    op.drop_column("organizations", "suspended_by")
