"""Whether somebody's password and authenticator app are still those that another person handed them."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
NAMES = ("password_is_handed", "app_is_handed")


def upgrade() -> None:
    for name in NAMES:
        op.add_column("people", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    for name in NAMES:
        op.drop_column("people", name)
