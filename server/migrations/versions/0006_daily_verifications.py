"""A verification that nobody asks for: the daily one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("verifications") as batch_op:
        batch_op.alter_column("asked_by", existing_type=KEY, nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM verifications WHERE asked_by IS NULL")
    with op.batch_alter_table("verifications") as batch_op:
        batch_op.alter_column("asked_by", existing_type=KEY, nullable=False)
