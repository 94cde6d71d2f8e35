"""Requests that are to outlast a clearance."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = "fk_access_requests_renews_clearances"

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("access_requests") as batch_op:
        batch_op.add_column(sa.Column("renews", KEY, nullable=True))
        batch_op.create_foreign_key(NAME, "clearances", ["renews"], ["id"])


def downgrade() -> None:
    with op.batch_alter_table("access_requests") as batch_op:
        batch_op.drop_constraint(NAME, type_="foreignkey")
        batch_op.drop_column("renews")
