"""Indexes to count the cleared, the signed and what waits for an admin among ten thousand organizations."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None
expands = True

PROPOSED = "approved_at IS NULL AND revoked_at IS NULL"
IN_FORCE = "approved_at IS NOT NULL AND revoked_at IS NULL"
COUNTS = "countersigned_at IS NOT NULL AND ended_at IS NULL"


def upgrade() -> None:
    _create("ix_clearances_proposed_until", "clearances", ["expires_at", "id"], PROPOSED)
    columns = ["model_id", "organization_id", "tier_id", "starts_at", "expires_at"]
    _create("ix_clearances_of_model", "clearances", columns, IN_FORCE)
    _create("ix_signatures_counting", "signatures", ["version_id", "organization_id"], COUNTS)
    is_lab = "is_lab = 1" if op.get_bind().dialect.name == "sqlite" else "is_lab"
    _create("ix_organizations_shut_out", "organizations", ["id"], f"{is_lab} OR suspended_at IS NOT NULL")
    op.create_index("ix_people_email_name", "people", ["email", "name"])


def downgrade() -> None:
    op.drop_index("ix_people_email_name", "people")
    op.drop_index("ix_organizations_shut_out", "organizations")
    op.drop_index("ix_signatures_counting", "signatures")
    op.drop_index("ix_clearances_of_model", "clearances")
    op.drop_index("ix_clearances_proposed_until", "clearances")


def _create(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
