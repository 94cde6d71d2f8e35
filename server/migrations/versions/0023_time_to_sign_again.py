"""Until when signatures of the version before an agreement's current one count as well."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agreement_versions", sa.Column("resign_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("agreement_versions", "resign_until")
