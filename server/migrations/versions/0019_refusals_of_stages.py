"""Which stage a refusal was about, where it was about one: a decision rests on how many there were."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("refusals", sa.Column("stage", sa.String(length=200), nullable=True))
    op.create_index("ix_refusals_stage", "refusals", ["stage"])


def downgrade() -> None:
    op.drop_index("ix_refusals_stage", "refusals")
    op.drop_column("refusals", "stage")
