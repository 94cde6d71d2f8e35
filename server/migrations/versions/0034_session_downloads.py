"""Keys that the store makes for S3 tools: until when it may take those of a download."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_downloads",
        sa.Column("download_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("download_id", name=op.f("pk_session_downloads")),
    )
    op.create_index(op.f("ix_session_downloads_expires_at"), "session_downloads", ["expires_at"])


def downgrade() -> None:
    op.drop_table("session_downloads")
