"""Each stage's planned window; what was its plan in words is its public note."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stages", sa.Column("planned_from", sa.String(length=7), nullable=True))
    op.add_column("stages", sa.Column("planned_until", sa.String(length=7), nullable=True))
    op.alter_column("stages", "plan", new_column_name="note")


def downgrade() -> None:
    op.alter_column("stages", "note", new_column_name="plan")
    op.drop_column("stages", "planned_until")
    op.drop_column("stages", "planned_from")
