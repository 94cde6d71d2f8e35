"""Lists by an index: tokens, people and checkpoints are found in the order in which their lists show them."""

from alembic import op
from sqlalchemy import text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IS_PUBLISHED = text("published_at IS NOT NULL")


def upgrade() -> None:
    for table, column in (("people", "organization_id"), ("tokens", "organization_id"), ("tokens", "person_id")):
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
        op.create_index(f"ix_{table}_{column}_id", table, [column, "id"])
    op.create_index(
        "ix_checkpoints_published", "checkpoints", ["stage_id", "id"],
        sqlite_where=IS_PUBLISHED, postgresql_where=IS_PUBLISHED,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_checkpoints_published", "checkpoints")
    for table, column in (("people", "organization_id"), ("tokens", "organization_id"), ("tokens", "person_id")):
        op.drop_index(f"ix_{table}_{column}_id", table)
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
