"""By which accounts at identity providers people sign in, and who has a password and an app here at all."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None
NAMES = ("has_password", "has_app")


def upgrade() -> None:
    op.create_table(
        "linked_identities",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_linked_identities_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_linked_identities")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_linked_identities_issuer_subject")),
        sa.UniqueConstraint("person_id", "issuer", name=op.f("uq_linked_identities_person_id_issuer")),
    )
    for name in NAMES:
        op.add_column("people", sa.Column(name, sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("sessions", sa.Column("issuer", sa.String(length=500), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "issuer")
    for name in NAMES:
        op.drop_column("people", name)
    op.drop_table("linked_identities")
