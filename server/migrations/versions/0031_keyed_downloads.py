"""What S3 tools fetch with a key: one row for each key and file, so that one entry tells of it."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "keyed_downloads",
        sa.Column("claim_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("download_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("claim_sha256", name=op.f("pk_keyed_downloads")),
    )
    op.create_index(op.f("ix_keyed_downloads_expires_at"), "keyed_downloads", ["expires_at"])


def downgrade() -> None:
    op.drop_table("keyed_downloads")
