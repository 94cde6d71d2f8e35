"""Decisions, by which alone a stage moves; and how many reports of partners a stage waits for."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("stage_id", KEY, nullable=True),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("would_change", sa.Text(), nullable=False),
        sa.Column("public_reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("evidence_when_done", sa.Text(), nullable=True),
        sa.Column("opens_at", MOMENT, nullable=True),
        sa.Column("proposed_by", KEY, nullable=False),
        sa.Column("proposed_at", MOMENT, nullable=False),
        sa.Column("approved_by", KEY, nullable=True),
        sa.Column("approved_at", MOMENT, nullable=True),
        sa.Column("approved_because", sa.Text(), nullable=True),
        sa.Column("closed_by", KEY, nullable=True),
        sa.Column("closed_at", MOMENT, nullable=True),
        sa.Column("closed_because", sa.Text(), nullable=True),
        sa.Column("blocked_because", sa.Text(), nullable=True),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_decisions_stage_id_stages")),
        sa.ForeignKeyConstraint(["proposed_by"], ["people.id"], name=op.f("fk_decisions_proposed_by_people")),
        sa.ForeignKeyConstraint(["approved_by"], ["people.id"], name=op.f("fk_decisions_approved_by_people")),
        sa.ForeignKeyConstraint(["closed_by"], ["people.id"], name=op.f("fk_decisions_closed_by_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    for column in ("stage_id", "state", "subject"):
        op.create_index(f"ix_decisions_{column}_id", "decisions", [column, "id"])
    op.create_table(
        "decision_findings",
        sa.Column("decision_id", KEY, nullable=False),
        sa.Column("finding_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decisions.id"], name=op.f("fk_decision_findings_decision_id_decisions")
        ),
        sa.ForeignKeyConstraint(["finding_id"], ["findings.id"], name=op.f("fk_decision_findings_finding_id_findings")),
        sa.PrimaryKeyConstraint("decision_id", "finding_id", name=op.f("pk_decision_findings")),
    )
    op.create_index("ix_decision_findings_finding_id", "decision_findings", ["finding_id"])
    op.add_column("stages", sa.Column("reports_at_least", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("stages", "reports_at_least")
    op.drop_table("decision_findings")
    op.drop_table("decisions")
