"""What the checks warned of when a checkpoint was published, for those who download it."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("warnings", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "warnings")
