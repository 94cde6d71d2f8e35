"""Witnesses: cosignatures of heads, and what is known of each witness's view of a log."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None
expands = True

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cosignatures",
        sa.Column("log_id", _KEY, nullable=False),
        sa.Column("size", _KEY, autoincrement=False, nullable=False),
        sa.Column("witness", sa.String(length=300), nullable=False),
        sa.Column("line", sa.String(length=1000), nullable=False),
        sa.Column("cosigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name=op.f("fk_cosignatures_log_id_logs")),
        sa.PrimaryKeyConstraint("log_id", "size", "witness", name=op.f("pk_cosignatures")),
    )
    op.create_table(
        "witness_views",
        sa.Column("log_id", _KEY, nullable=False),
        sa.Column("witness", sa.String(length=300), nullable=False),
        sa.Column("size", _KEY, nullable=False),
        sa.Column("first_asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cosigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ask_again_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("fault", sa.String(length=300), nullable=True),
        sa.Column("contradicts", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name=op.f("fk_witness_views_log_id_logs")),
        sa.PrimaryKeyConstraint("log_id", "witness", name=op.f("pk_witness_views")),
    )


def downgrade() -> None:
    op.drop_table("witness_views")
    op.drop_table("cosignatures")
