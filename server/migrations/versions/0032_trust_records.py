"""Which machines an organization trusts, and which tokens were made for them."""

import sqlalchemy as sa
from alembic import op

LISTED: tuple[list[str], ...] = ([], ["organization_id"], ["person_id"])  # by what tokens are listed
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trust_records",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("issuer", sa.String(length=500), nullable=False),
        sa.Column("audience", sa.String(length=255), nullable=False),
        sa.Column("claims", sa.Text(), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("networks", sa.String(length=1000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("made_with", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_trust_records_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_trust_records_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust_records")),
        sa.UniqueConstraint("made_with", name=op.f("uq_trust_records_made_with")),
    )
    op.create_index("ix_trust_records_organization_id_id", "trust_records", ["organization_id", "id"])
    op.create_index("ix_trust_records_issuer_audience", "trust_records", ["issuer", "audience"])
    op.create_table(
        "workload_tokens",
        sa.Column("token_id", KEY, autoincrement=False, nullable=False),
        sa.Column("trust_record_id", KEY, nullable=False),
        sa.Column("identity_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.String(length=255), nullable=False),
        sa.Column("run", sa.String(length=120), nullable=True),
        sa.Column("door", sa.String(length=10), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_workload_tokens_token_id_tokens")),
        sa.ForeignKeyConstraint(
            ["trust_record_id"], ["trust_records.id"], name=op.f("fk_workload_tokens_trust_record_id_trust_records")
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_workload_tokens")),
        sa.UniqueConstraint("identity_sha256", name=op.f("uq_workload_tokens_identity_sha256")),
    )
    op.create_index("ix_workload_tokens_trust_record_id_token_id", "workload_tokens", ["trust_record_id", "token_id"])
    op.add_column("tokens", sa.Column("of_machine", sa.Boolean(), server_default=sa.false(), nullable=False))
    for columns in LISTED:
        op.drop_index(_index([*columns, "id"]), "tokens", if_exists=True)
        op.create_index(_index([*columns, "of_machine", "id"]), "tokens", [*columns, "of_machine", "id"])


def _index(columns: list[str]) -> str:
    return f"ix_tokens_{'_'.join(columns)}"


def downgrade() -> None:
    for columns in LISTED:
        op.drop_index(_index([*columns, "of_machine", "id"]), "tokens")
        if columns:
            op.create_index(_index([*columns, "id"]), "tokens", [*columns, "id"])
    op.drop_column("tokens", "of_machine")
    op.drop_table("workload_tokens")
    op.drop_table("trust_records")
