"""Programs that ask for a token which a person approves in their browser."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_logins",
        sa.Column("id", KEY, nullable=False),
        sa.Column("device_code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("user_code", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("decided_by", KEY, nullable=True),
        sa.Column("decided_from", sa.String(length=64), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=True),
        sa.Column("lifetime_days", sa.Integer(), nullable=True),
        sa.Column("networks", sa.String(length=1000), nullable=False),
        sa.ForeignKeyConstraint(["decided_by"], ["people.id"], name=op.f("fk_device_logins_decided_by_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_logins")),
        sa.UniqueConstraint("device_code_sha256", name=op.f("uq_device_logins_device_code_sha256")),
        sa.UniqueConstraint("user_code", name=op.f("uq_device_logins_user_code")),
    )
    op.create_index(op.f("ix_device_logins_address"), "device_logins", ["address"])
    op.create_index(op.f("ix_device_logins_began_at"), "device_logins", ["began_at"])


def downgrade() -> None:
    op.drop_table("device_logins")
