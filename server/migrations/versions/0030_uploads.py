"""Uploads by publishers."""

import sqlalchemy as sa
from alembic import op

MOMENT = sa.DateTime(timezone=True)
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

CHECKING = sa.text("state = 'checking'")


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("stage_id", KEY, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("begun_at", MOMENT, nullable=False),
        sa.Column("touched_at", MOMENT, nullable=False),
        sa.Column("completed_by", sa.Text(), nullable=True),
        sa.Column("worked_until", MOMENT, nullable=True),
        sa.Column("checked_bytes", KEY, nullable=False),
        sa.Column("checkpoint_id", sa.String(length=40), nullable=True),
        sa.Column("proposal", KEY, nullable=True),
        sa.Column("next_step", sa.Text(), nullable=True),
        sa.Column("refusal_code", sa.String(length=40), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_uploads_person_id_people")),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_uploads_stage_id_stages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.UniqueConstraint("person_id", "stage_id", name=op.f("uq_uploads_person_id_stage_id")),
    )
    op.create_index(op.f("ix_uploads_touched_at"), "uploads", ["touched_at"])
    op.create_index("ix_uploads_checking", "uploads", ["touched_at"], sqlite_where=CHECKING, postgresql_where=CHECKING)
    op.create_table(
        "upload_files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("upload_id", KEY, nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("size_bytes", KEY, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(length=100), nullable=False),
        sa.Column("attempt", sa.String(length=1024), nullable=True),
        sa.Column("part_digests", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name=op.f("fk_upload_files_upload_id_uploads")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload_files")),
        sa.UniqueConstraint("object_key", name=op.f("uq_upload_files_object_key")),
        sa.UniqueConstraint("upload_id", "path", name=op.f("uq_upload_files_upload_id_path")),
    )


def downgrade() -> None:
    op.drop_table("upload_files")
    op.drop_table("uploads")
