"""Reminders that were sent, so that none is sent twice; and an index for what ends next."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reminders",
        sa.Column("about", sa.String(length=32), nullable=False),
        sa.Column("subject_id", KEY, autoincrement=False, nullable=False),
        sa.Column("days", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("about", "subject_id", "days", name=op.f("pk_reminders")),
    )
    in_force = sa.text("approved_at IS NOT NULL AND revoked_at IS NULL")
    op.create_index(
        "ix_clearances_ending", "clearances", ["expires_at", "id"], sqlite_where=in_force, postgresql_where=in_force
    )


def downgrade() -> None:
    op.drop_index("ix_clearances_ending", "clearances")
    op.drop_table("reminders")
