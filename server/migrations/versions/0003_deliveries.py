"""What was really fetched: deliveries, alarms, and what is needed to count each line once."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("organizations", sa.Column("networks", sa.String(length=1000), nullable=False, server_default=""))
    op.add_column("checkpoint_files", sa.Column("is_decoy", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(op.f("ix_checkpoint_files_is_decoy"), "checkpoint_files", ["is_decoy"], unique=False)
    op.create_table(
        "deliveries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("download_id", sa.String(length=36), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("size_bytes", KEY, nullable=False),
        sa.Column("requests", KEY, nullable=False),
        sa.Column("bytes_sent", KEY, nullable=False),
        sa.Column("first_ms", KEY, nullable=False),
        sa.Column("last_ms", KEY, nullable=False),
        sa.Column("addresses", sa.String(length=1000), nullable=False),
        sa.Column("other_requests", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("download_id", "path", name=op.f("uq_deliveries_download_id_path")),
    )
    op.create_table(
        "alarms",
        sa.Column("id", KEY, nullable=False),
        sa.Column("cause_sha256", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("read_at", MOMENT, nullable=False),
        sa.Column("download_id", sa.String(length=36), nullable=True),
        sa.Column("organization_id", KEY, nullable=True),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("signed_by", sa.String(length=300), nullable=False),
        sa.Column("user_agent", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_alarms_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
        sa.UniqueConstraint("cause_sha256", name=op.f("uq_alarms_cause_sha256")),
    )
    with op.batch_alter_table("alarms", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alarms_download_id"), ["download_id"], unique=False)
        batch_op.create_index("ix_alarms_organization_id_id", ["organization_id", "id"], unique=False)

    op.create_table(
        "seen_minutes",
        sa.Column("minute", KEY, autoincrement=False, nullable=False),
        sa.Column("digests", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("minute", name=op.f("pk_seen_minutes")),
    )
    op.create_table(
        "read_objects",
        sa.Column("name", sa.String(length=1200), nullable=False),
        sa.Column("read_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_read_objects")),
    )
    op.create_table(
        "followed_logs",
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("inode", KEY, nullable=False),
        sa.Column("position", KEY, nullable=False),
        sa.Column("tail_sha256", sa.String(length=64), nullable=False),
        sa.Column("since", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_followed_logs")),
    )
    op.create_table(
        "reconciliation_lock",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_lock")),
    )
    op.execute("INSERT INTO reconciliation_lock (id) VALUES (1)")


def downgrade() -> None:
    for table in ("reconciliation_lock", "followed_logs", "read_objects", "seen_minutes", "alarms", "deliveries"):
        op.drop_table(table)
    op.drop_index(op.f("ix_checkpoint_files_is_decoy"), "checkpoint_files")
    op.drop_column("checkpoint_files", "is_decoy")
    op.drop_column("organizations", "networks")
