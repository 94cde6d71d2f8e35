"""Decoys: objects of the bucket that belong to no checkpoint, and that nobody has a reason to ask for.

`checkpoint_files.is_decoy` stays for the code of before, which nothing could make anything but false.
"""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None
expands = True

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "decoys",
        sa.Column("id", KEY, nullable=False),
        sa.Column("stage_id", KEY, nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("size_bytes", KEY, nullable=False),
        sa.Column("placed_at", MOMENT, nullable=False),
        sa.Column("placed_by", sa.String(length=254), nullable=False),
        sa.Column("removed_at", MOMENT, nullable=True),
        sa.Column("removed_by", sa.String(length=254), nullable=True),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_decoys_stage_id_stages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decoys")),
        sa.UniqueConstraint("object_key", name=op.f("uq_decoys_object_key")),
    )


def downgrade() -> None:
    op.drop_table("decoys")
