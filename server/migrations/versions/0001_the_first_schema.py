"""The first schema."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agreements",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("current_version_id", KEY, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreements")),
        sa.UniqueConstraint("name", name=op.f("uq_agreements_name")),
    )
    op.create_table(
        "everything",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("held_at", MOMENT, nullable=True),
        sa.Column("held_by", sa.String(length=254), nullable=True),
        sa.Column("hold_reason", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_everything")),
    )
    op.create_table(
        "logs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=300), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
        sa.UniqueConstraint("name", name=op.f("uq_logs_name")),
        sa.UniqueConstraint("origin", name=op.f("uq_logs_origin")),
    )
    op.create_table(
        "models",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("held_at", MOMENT, nullable=True),
        sa.Column("held_by", sa.String(length=254), nullable=True),
        sa.Column("hold_reason", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", KEY, nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("is_lab", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("suspended_at", MOMENT, nullable=True),
        sa.Column("suspension_reason", sa.String(length=1000), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("slug", name=op.f("uq_organizations_slug")),
    )
    op.create_table(
        "quota_hours",
        sa.Column("organization_id", KEY, autoincrement=False, nullable=False),
        sa.Column("hour", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("issued_bytes", KEY, nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "hour", name=op.f("pk_quota_hours")),
    )
    op.create_table(
        "quotas",
        sa.Column("organization_id", KEY, autoincrement=False, nullable=False),
        sa.Column("bytes_per_day", KEY, nullable=True),
        sa.Column("requests_per_minute", sa.Integer(), nullable=True),
        sa.Column("next_free_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_quotas")),
    )
    op.create_table(
        "refusals",
        sa.Column("id", KEY, nullable=False),
        sa.Column("refused_at", MOMENT, nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("detail", sa.String(length=1000), nullable=False),
        sa.Column("asked", sa.String(length=500), nullable=False),
        sa.Column("organization_id", KEY, nullable=True),
        sa.Column("person_id", KEY, nullable=True),
        sa.Column("token_id", KEY, nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.create_index("ix_refusals_organization_id_id", ["organization_id", "id"], unique=False)

    op.create_table(
        "tiers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tiers")),
        sa.UniqueConstraint("name", name=op.f("uq_tiers_name")),
        sa.UniqueConstraint("rank", name=op.f("uq_tiers_rank")),
    )
    op.create_table(
        "agreement_versions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("agreement_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("published_at", MOMENT, nullable=False),
        sa.Column("published_by", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(
            ["agreement_id"], ["agreements.id"], name=op.f("fk_agreement_versions_agreement_id_agreements")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agreement_versions")),
        sa.UniqueConstraint("agreement_id", "number", name=op.f("uq_agreement_versions_agreement_id_number")),
        sa.UniqueConstraint("agreement_id", "sha256", name=op.f("uq_agreement_versions_agreement_id_sha256")),
    )
    op.create_table(
        "log_entries",
        sa.Column("id", KEY, nullable=False),
        sa.Column("log_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=True),
        sa.Column("organization_id", KEY, nullable=True),
        sa.Column("appended_at", MOMENT, nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_index", KEY, nullable=True),
        sa.ForeignKeyConstraint(["log_id"], ["logs.id"], name=op.f("fk_log_entries_log_id_logs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_entries")),
        sa.UniqueConstraint("log_id", "leaf_index", name=op.f("uq_log_entries_log_id_leaf_index")),
    )
    with op.batch_alter_table("log_entries", schema=None) as batch_op:
        batch_op.create_index("ix_log_entries_kind_id", ["kind", "id"], unique=False)
        batch_op.create_index("ix_log_entries_organization_id_kind_id", ["organization_id", "kind", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_log_entries_subject"), ["subject"], unique=False)
        batch_op.create_index(
            "ix_log_entries_unsealed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("leaf_index IS NULL"),
            postgresql_where=sa.text("leaf_index IS NULL"),
        )

    op.create_table(
        "people",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("totp_secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("disabled_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_people_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("email", name=op.f("uq_people_email")),
    )
    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_people_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "stages",
        sa.Column("id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("parameters", KEY, nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_since", MOMENT, nullable=False),
        sa.Column("announced", sa.Boolean(), nullable=False),
        sa.Column("plan", sa.String(length=500), nullable=True),
        sa.Column("tier_id", KEY, nullable=False),
        sa.Column("agreement_id", KEY, nullable=True),
        sa.Column("main_checkpoint_id", KEY, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("held_at", MOMENT, nullable=True),
        sa.Column("held_by", sa.String(length=254), nullable=True),
        sa.Column("hold_reason", sa.String(length=1000), nullable=True),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreements.id"], name=op.f("fk_stages_agreement_id_agreements")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_stages_model_id_models")),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_stages_tier_id_tiers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stages")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_stages_model_id_name")),
        sa.UniqueConstraint("model_id", "ordinal", name=op.f("uq_stages_model_id_ordinal")),
    )
    op.create_table(
        "checkpoints",
        sa.Column("id", KEY, nullable=False),
        sa.Column("checkpoint_id", sa.String(length=40), nullable=False),
        sa.Column("stage_id", KEY, nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("note", sa.String(length=2000), nullable=True),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("published_at", MOMENT, nullable=True),
        sa.Column("published_by", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_checkpoints_stage_id_stages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint("checkpoint_id", name=op.f("uq_checkpoints_checkpoint_id")),
        sa.UniqueConstraint("stage_id", "content_sha256", name=op.f("uq_checkpoints_stage_id_content_sha256")),
    )
    op.create_table(
        "clearances",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("tier_id", KEY, nullable=False),
        sa.Column("purpose", sa.String(length=1000), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("proposed_by", KEY, nullable=False),
        sa.Column("proposed_at", MOMENT, nullable=False),
        sa.Column("approved_by", KEY, nullable=True),
        sa.Column("approved_at", MOMENT, nullable=True),
        sa.Column("revoked_by", KEY, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["approved_by"], ["people.id"], name=op.f("fk_clearances_approved_by_people")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_clearances_model_id_models")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_clearances_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["proposed_by"], ["people.id"], name=op.f("fk_clearances_proposed_by_people")),
        sa.ForeignKeyConstraint(["revoked_by"], ["people.id"], name=op.f("fk_clearances_revoked_by_people")),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_clearances_tier_id_tiers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clearances")),
    )
    with op.batch_alter_table("clearances", schema=None) as batch_op:
        batch_op.create_index("ix_clearances_organization_id_model_id", ["organization_id", "model_id"], unique=False)

    op.create_table(
        "signatures",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("agreement_id", KEY, nullable=False),
        sa.Column("version_id", KEY, nullable=False),
        sa.Column("signer_name", sa.String(length=200), nullable=False),
        sa.Column("signer_title", sa.String(length=200), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("countersigned_by", sa.String(length=254), nullable=False),
        sa.Column("countersigned_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["agreement_id"], ["agreements.id"], name=op.f("fk_signatures_agreement_id_agreements")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_signatures_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["agreement_versions.id"], name=op.f("fk_signatures_version_id_agreement_versions")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signatures")),
    )
    with op.batch_alter_table("signatures", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_signatures_organization_id"), ["organization_id"], unique=False)

    op.create_table(
        "stage_aliases",
        sa.Column("id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=96), nullable=False),
        sa.Column("stage_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_stage_aliases_model_id_models")),
        sa.ForeignKeyConstraint(["stage_id"], ["stages.id"], name=op.f("fk_stage_aliases_stage_id_stages")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stage_aliases")),
        sa.UniqueConstraint("model_id", "name", name=op.f("uq_stage_aliases_model_id_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", KEY, nullable=False),
        sa.Column("public_id", sa.String(length=12), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.String(length=200), nullable=False),
        sa.Column("networks", sa.String(length=1000), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_tokens_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_tokens_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("public_id", name=op.f("uq_tokens_public_id")),
    )
    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tokens_organization_id"), ["organization_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tokens_person_id"), ["person_id"], unique=False)

    op.create_table(
        "checkpoint_files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("checkpoint_id", KEY, nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("size_bytes", KEY, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("object_key", sa.String(length=1024), nullable=False),
        sa.Column("version_id", sa.String(length=1024), nullable=True),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name=op.f("fk_checkpoint_files_checkpoint_id_checkpoints")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoint_files")),
        sa.UniqueConstraint("checkpoint_id", "path", name=op.f("uq_checkpoint_files_checkpoint_id_path")),
    )
    op.create_table(
        "checkpoint_manifests",
        sa.Column("checkpoint_id", KEY, nullable=False),
        sa.Column("form", sa.String(length=8), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoints.id"], name=op.f("fk_checkpoint_manifests_checkpoint_id_checkpoints")
        ),
        sa.PrimaryKeyConstraint("checkpoint_id", "form", name=op.f("pk_checkpoint_manifests")),
    )
    for statement in _GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first schema: remove the database instead")


# The log is only appended to, whoever asks: entries cannot be deleted, and of an entry only the leaf index is ever set,
# once. (A superuser can take the guards away; that is what the sealed tree and its anchors are for.)
_GUARDS = {
    "sqlite": [
        """CREATE TRIGGER log_entries_no_delete BEFORE DELETE ON log_entries
        BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END""",
        """CREATE TRIGGER log_entries_no_update BEFORE UPDATE ON log_entries
        WHEN OLD.leaf_index IS NOT NULL OR NEW.leaf_index IS NULL
          OR OLD.id IS NOT NEW.id OR OLD.log_id IS NOT NEW.log_id OR OLD.kind IS NOT NEW.kind
          OR OLD.subject IS NOT NEW.subject OR OLD.organization_id IS NOT NEW.organization_id
          OR OLD.appended_at IS NOT NEW.appended_at OR OLD.record IS NOT NEW.record
          OR OLD.salt IS NOT NEW.salt OR OLD.commitment IS NOT NEW.commitment
          OR EXISTS (SELECT 1 FROM log_entries WHERE log_id = NEW.log_id AND leaf_index = NEW.leaf_index)
        BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END""",
        # INSERT OR REPLACE deletes the row that is in its way, and no DELETE trigger hears of it.
        """CREATE TRIGGER log_entries_no_replace BEFORE INSERT ON log_entries
        WHEN EXISTS (SELECT 1 FROM log_entries WHERE id = NEW.id)
          OR EXISTS (SELECT 1 FROM log_entries WHERE log_id = NEW.log_id AND leaf_index = NEW.leaf_index)
        BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END""",
    ],
    "postgresql": [
        """CREATE FUNCTION log_entries_guard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF TG_OP = 'UPDATE' THEN
            IF OLD.leaf_index IS NULL AND NEW.leaf_index IS NOT NULL THEN
              OLD.leaf_index := NEW.leaf_index;
              IF OLD IS NOT DISTINCT FROM NEW THEN RETURN NEW; END IF;
            END IF;
          END IF;
          RAISE EXCEPTION 'the log is only appended to';
        END $$""",
        """CREATE TRIGGER log_entries_only_appended BEFORE UPDATE OR DELETE ON log_entries
        FOR EACH ROW EXECUTE FUNCTION log_entries_guard()""",
        """CREATE TRIGGER log_entries_never_emptied BEFORE TRUNCATE ON log_entries
        FOR EACH STATEMENT EXECUTE FUNCTION log_entries_guard()""",
    ],
}
