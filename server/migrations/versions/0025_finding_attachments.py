"""Attachments of findings."""

import sqlalchemy as sa
from alembic import op

MOMENT = sa.DateTime(timezone=True)
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

UNFINISHED = sa.text("completed_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "finding_attachments",
        sa.Column("id", KEY, nullable=False),
        sa.Column("finding_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("size_bytes", KEY, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(length=100), nullable=False),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["finding_id"], ["findings.id"], name=op.f("fk_finding_attachments_finding_id_findings")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding_attachments")),
        sa.UniqueConstraint("object_key", name=op.f("uq_finding_attachments_object_key")),
    )
    op.create_index(op.f("ix_finding_attachments_finding_id"), "finding_attachments", ["finding_id"])
    op.create_index(
        "ix_finding_attachments_unfinished", "finding_attachments", ["begun_at"],
        sqlite_where=UNFINISHED, postgresql_where=UNFINISHED,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("finding_attachments")
