"""Why a clearance was revoked, for its organization to read."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("clearances", sa.Column("revoked_because", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("clearances", "revoked_because")
