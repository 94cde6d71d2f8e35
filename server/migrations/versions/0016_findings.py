"""Findings, and which organizations see each of them."""

import sqlalchemy as sa
from alembic import op

MOMENT = sa.DateTime(timezone=True)
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

CRITICAL = sa.text("severity = 'critical' AND state IN ('open', 'confirmed')")
PEOPLE = ("reported_by", "triaged_by", "answered_by")


def upgrade() -> None:
    op.create_table(
        "findings",
        sa.Column("id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("stage_id", KEY, nullable=False),
        sa.Column("checkpoint_id", sa.String(length=40), nullable=True),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("reported_by", KEY, nullable=False),
        sa.Column("reported_at", MOMENT, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("embargo_until", sa.Date(), nullable=True),
        sa.Column("may_publish", sa.Boolean(), nullable=False),
        sa.Column("may_name", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("triaged_by", KEY, nullable=True),
        sa.Column("triaged_at", MOMENT, nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_by", KEY, nullable=True),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_findings_model_id_models")),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_findings_stage_id_stages")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_findings_organization_id_organizations")
        ),
        *(sa.ForeignKeyConstraint([by], ["people.id"], name=op.f(f"fk_findings_{by}_people")) for by in PEOPLE),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
    )
    op.create_index("ix_findings_organization_id_id", "findings", ["organization_id", "id"])
    op.create_index("ix_findings_stage_id_id", "findings", ["stage_id", "id"])
    op.create_index("ix_findings_critical", "findings", ["model_id"], sqlite_where=CRITICAL, postgresql_where=CRITICAL)
    op.create_table(
        "finding_readers",
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("finding_id", KEY, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_finding_readers_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name=op.f("fk_finding_readers_finding_id_findings")),
        sa.PrimaryKeyConstraint("organization_id", "finding_id", name=op.f("pk_finding_readers")),
    )
    op.create_index(op.f("ix_finding_readers_finding_id"), "finding_readers", ["finding_id"])


def downgrade() -> None:
    op.drop_table("finding_readers")
    op.drop_table("findings")
