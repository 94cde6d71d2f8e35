"""What the checks warned of when a checkpoint was published, for those who download it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("warnings", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "warnings")
