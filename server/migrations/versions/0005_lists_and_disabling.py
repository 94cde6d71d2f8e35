"""Lists by an index, in the order in which they are shown; and who was disabled by the lab."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

IS_PUBLISHED = sa.text("published_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("people", sa.Column("disabled_by_lab", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table, column in (("people", "organization_id"), ("tokens", "organization_id"), ("tokens", "person_id")):
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
        op.create_index(f"ix_{table}_{column}_id", table, [column, "id"])
    op.create_index(
        "ix_checkpoints_published", "checkpoints", ["stage_id", "id"],
        sqlite_where=IS_PUBLISHED, postgresql_where=IS_PUBLISHED,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("people", "disabled_by_lab")
    op.drop_index("ix_checkpoints_published", "checkpoints")
    for table, column in (("people", "organization_id"), ("tokens", "organization_id"), ("tokens", "person_id")):
        op.drop_index(f"ix_{table}_{column}_id", table)
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
