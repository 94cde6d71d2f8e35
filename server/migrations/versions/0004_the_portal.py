"""The portal: sessions, factors, invitations, mails, requests for access, signing, alarms that are looked into."""

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("recipient", sa.String(length=254), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("queued_at", MOMENT, nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    with op.batch_alter_table("mails", schema=None) as batch_op:
        batch_op.create_index("ix_mails_next_attempt_at", ["next_attempt_at"], unique=False)

    op.create_table(
        "ceremonies",
        sa.Column("id", KEY, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("person_id", KEY, nullable=True),
        sa.Column("challenge", sa.LargeBinary(), nullable=True),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_ceremonies_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ceremonies")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_ceremonies_secret_sha256")),
    )
    with op.batch_alter_table("ceremonies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ceremonies_began_at"), ["began_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_ceremonies_person_id"), ["person_id"], unique=False)

    op.create_table(
        "invitations",
        sa.Column("id", KEY, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("invited_by", KEY, nullable=False),
        sa.Column("invited_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("accepted_at", MOMENT, nullable=True),
        sa.Column("withdrawn_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["invited_by"], ["people.id"], name=op.f("fk_invitations_invited_by_people")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_invitations_organization_id_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_invitations_secret_sha256")),
    )
    with op.batch_alter_table("invitations", schema=None) as batch_op:
        batch_op.create_index("ix_invitations_organization_id_id", ["organization_id", "id"], unique=False)

    op.create_table(
        "passkeys",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("credential_id", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("added_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_passkeys_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_passkeys")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_passkeys_credential_id")),
    )
    with op.batch_alter_table("passkeys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_passkeys_person_id"), ["person_id"], unique=False)

    op.create_table(
        "password_resets",
        sa.Column("id", KEY, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", KEY, nullable=True),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_password_resets_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_resets")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_password_resets_secret_sha256")),
    )
    with op.batch_alter_table("password_resets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_password_resets_person_id"), ["person_id"], unique=False)

    op.create_table(
        "recovery_codes",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("code_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_recovery_codes_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
    )
    with op.batch_alter_table("recovery_codes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_recovery_codes_person_id"), ["person_id"], unique=False)

    op.create_table(
        "sessions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("factor", sa.String(length=16), nullable=False),
        sa.Column("began_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("proved_at", MOMENT, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("user_agent", sa.String(length=300), nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("ended_because", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_sessions_person_id_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_sessions_secret_sha256")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index("ix_sessions_person_id_id", ["person_id", "id"], unique=False)

    op.create_table(
        "verifications",
        sa.Column("id", KEY, nullable=False),
        sa.Column("asked_by", KEY, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("began_at", MOMENT, nullable=True),
        sa.Column("told_at", MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=100), nullable=True),
        sa.Column("entries", KEY, nullable=True),
        sa.Column("entries_done", KEY, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("found", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["asked_by"], ["people.id"], name=op.f("fk_verifications_asked_by_people")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verifications")),
        sa.UniqueConstraint("slot", name=op.f("uq_verifications_slot")),
    )
    op.create_table(
        "traffic_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("organization_id", KEY, autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(length=200), nullable=False),
        sa.Column("downloads", KEY, nullable=False),
        sa.Column("issued_bytes", KEY, nullable=False),
        sa.Column("fetched_bytes", KEY, nullable=False),
        sa.PrimaryKeyConstraint("day", "organization_id", "stage", name=op.f("pk_traffic_days")),
    )
    op.create_table(
        "sealing_days",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("entries", KEY, nullable=False),
        sa.Column("delay_ms", KEY, nullable=False),
        sa.Column("longest_ms", KEY, nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_sealing_days")),
    )
    op.create_table(
        "anchored_logs",
        sa.Column("log_id", KEY, autoincrement=False, nullable=False),
        sa.Column("size", KEY, nullable=False),
        sa.Column("anchored_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("log_id", name=op.f("pk_anchored_logs")),
    )
    op.create_table(
        "counted_logs",
        sa.Column("log_id", KEY, autoincrement=False, nullable=False),
        sa.Column("place", KEY, nullable=False),
        sa.PrimaryKeyConstraint("log_id", name=op.f("pk_counted_logs")),
    )
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.create_index("ix_refusals_refused_at_code", ["refused_at", "code"], unique=False)

    op.create_table(
        "access_requests",
        sa.Column("id", KEY, nullable=False),
        sa.Column("organization_id", KEY, nullable=False),
        sa.Column("model_id", KEY, nullable=False),
        sa.Column("tier_id", KEY, nullable=False),
        sa.Column("purpose", sa.String(length=1000), nullable=False),
        sa.Column("wanted_until", MOMENT, nullable=False),
        sa.Column("asked_by", KEY, nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("decided_by", KEY, nullable=True),
        sa.Column("decided_at", MOMENT, nullable=True),
        sa.Column("clearance_id", KEY, nullable=True),
        sa.Column("declined_because", sa.String(length=1000), nullable=True),
        sa.Column("withdrawn_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["asked_by"], ["people.id"], name=op.f("fk_access_requests_asked_by_people")),
        sa.ForeignKeyConstraint(
            ["clearance_id"], ["clearances.id"], name=op.f("fk_access_requests_clearance_id_clearances")
        ),
        sa.ForeignKeyConstraint(["decided_by"], ["people.id"], name=op.f("fk_access_requests_decided_by_people")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_access_requests_model_id_models")),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_access_requests_organization_id_organizations")
        ),
        sa.ForeignKeyConstraint(["tier_id"], ["tiers.id"], name=op.f("fk_access_requests_tier_id_tiers")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_requests")),
    )
    with op.batch_alter_table("access_requests", schema=None) as batch_op:
        batch_op.create_index(
            "ix_access_requests_open", ["id"], unique=False,
            sqlite_where=sa.text("decided_at IS NULL AND withdrawn_at IS NULL"),
            postgresql_where=sa.text("decided_at IS NULL AND withdrawn_at IS NULL"),
        )  # fmt: skip
        batch_op.create_index("ix_access_requests_organization_id_id", ["organization_id", "id"], unique=False)

    op.create_table(
        "token_uses",
        sa.Column("token_id", KEY, autoincrement=False, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_token_uses_token_id_tokens")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_token_uses")),
    )
    with op.batch_alter_table("alarms", schema=None) as batch_op:
        batch_op.add_column(sa.Column("resolved_at", MOMENT, nullable=True))
        batch_op.add_column(sa.Column("resolved_by", sa.String(length=254), nullable=True))
        batch_op.add_column(sa.Column("resolution", sa.String(length=1000), nullable=True))
        batch_op.create_index("ix_alarms_kind_id", ["kind", "id"], unique=False)
        batch_op.create_index("ix_alarms_raised_at", ["raised_at"], unique=False)
        for state in ("resolved_at IS NULL", "resolved_at IS NOT NULL"):
            name = "ix_alarms_open" if state.endswith("IS NULL") else "ix_alarms_resolved"
            batch_op.create_index(
                name, ["id"], unique=False, sqlite_where=sa.text(state), postgresql_where=sa.text(state)
            )

    with op.batch_alter_table("clearances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("asked_by", KEY, nullable=True))
        batch_op.create_index("ix_clearances_organization_id_id", ["organization_id", "id"], unique=False)
        batch_op.create_index("ix_clearances_model_id_id", ["model_id", "id"], unique=False)
    proposed = sa.text("approved_at IS NULL AND revoked_at IS NULL")
    op.create_index("ix_clearances_proposed", "clearances", ["id"], sqlite_where=proposed, postgresql_where=proposed)

    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.add_column(sa.Column("totp_step", KEY, nullable=True))

    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.add_column(sa.Column("made_with", sa.String(length=64), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_tokens_made_with"), ["made_with"])

    with op.batch_alter_table("signatures", schema=None) as batch_op:
        batch_op.add_column(sa.Column("signed_by", KEY, nullable=True))
        batch_op.add_column(sa.Column("statement", sa.String(length=1000), nullable=True))
        batch_op.add_column(sa.Column("document", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("declined_because", sa.String(length=1000), nullable=True))
        batch_op.alter_column("countersigned_by", existing_type=sa.String(length=254), nullable=True)
        batch_op.alter_column("countersigned_at", existing_type=MOMENT, nullable=True)
        batch_op.create_index("ix_signatures_version_id_id", ["version_id", "id"], unique=False)
    waiting = sa.text("countersigned_at IS NULL AND ended_at IS NULL")
    op.create_index("ix_signatures_waiting", "signatures", ["id"], sqlite_where=waiting, postgresql_where=waiting)


def downgrade() -> None:
    op.execute("DELETE FROM signatures WHERE countersigned_at IS NULL")  # there, each counts as one in force
    with op.batch_alter_table("signatures", schema=None) as batch_op:
        batch_op.drop_index("ix_signatures_waiting")
        batch_op.drop_index("ix_signatures_version_id_id")
        batch_op.alter_column("countersigned_at", existing_type=MOMENT, nullable=False)
        batch_op.alter_column("countersigned_by", existing_type=sa.String(length=254), nullable=False)
        batch_op.drop_column("declined_because")
        batch_op.drop_column("document")
        batch_op.drop_column("statement")
        batch_op.drop_column("signed_by")

    with op.batch_alter_table("tokens", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_tokens_made_with"), type_="unique")
        batch_op.drop_column("made_with")

    with op.batch_alter_table("people", schema=None) as batch_op:
        batch_op.drop_column("totp_step")

    with op.batch_alter_table("clearances", schema=None) as batch_op:
        batch_op.drop_index("ix_clearances_proposed")
        batch_op.drop_index("ix_clearances_model_id_id")
        batch_op.drop_index("ix_clearances_organization_id_id")
        batch_op.drop_column("asked_by")

    with op.batch_alter_table("alarms", schema=None) as batch_op:
        for name in ("ix_alarms_kind_id", "ix_alarms_raised_at", "ix_alarms_open", "ix_alarms_resolved"):
            batch_op.drop_index(name)
        batch_op.drop_column("resolution")
        batch_op.drop_column("resolved_by")
        batch_op.drop_column("resolved_at")

    op.drop_table("token_uses")
    with op.batch_alter_table("access_requests", schema=None) as batch_op:
        batch_op.drop_index("ix_access_requests_organization_id_id")
        batch_op.drop_index("ix_access_requests_open")

    op.drop_table("access_requests")
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.drop_index("ix_refusals_refused_at_code")

    for table in ("anchored_logs", "counted_logs", "sealing_days", "traffic_days", "verifications"):
        op.drop_table(table)
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index("ix_sessions_person_id_id")

    op.drop_table("sessions")
    with op.batch_alter_table("recovery_codes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_recovery_codes_person_id"))

    op.drop_table("recovery_codes")
    with op.batch_alter_table("password_resets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_password_resets_person_id"))

    op.drop_table("password_resets")
    with op.batch_alter_table("passkeys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_passkeys_person_id"))

    op.drop_table("passkeys")
    with op.batch_alter_table("invitations", schema=None) as batch_op:
        batch_op.drop_index("ix_invitations_organization_id_id")

    op.drop_table("invitations")
    with op.batch_alter_table("ceremonies", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ceremonies_person_id"))
        batch_op.drop_index(batch_op.f("ix_ceremonies_began_at"))

    op.drop_table("ceremonies")
    with op.batch_alter_table("mails", schema=None) as batch_op:
        batch_op.drop_index("ix_mails_next_attempt_at")

    op.drop_table("mails")
