"""Who gave whom a role of the lab, and who was shown what another signs in with."""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN, STANDING = "approved_at IS NULL AND closed_at IS NULL", "approved_at IS NOT NULL AND closed_at IS NULL"

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    grants = op.create_table(
        "role_grants",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("is_root", sa.Boolean(), nullable=False),
        sa.Column("proposed_by", KEY, nullable=True),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", KEY, nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", KEY, nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_because", sa.String(length=16), nullable=True),
        *_people("role_grants", "person_id", "proposed_by", "approved_by", "closed_by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_grants")),
    )
    op.create_index("ix_role_grants_person_id", "role_grants", ["person_id"])
    for name, where in (("open", OPEN), ("standing", STANDING)):
        op.create_index(
            f"ux_role_grants_{name}", "role_grants", ["person_id"], unique=True, sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )  # fmt: skip
    known = op.create_table(
        "known_credentials",
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("known_by", KEY, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("vouched_at", sa.DateTime(timezone=True), nullable=True),
        *_people("known_credentials", "person_id", "known_by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_known_credentials")),
    )
    op.create_index("ix_known_credentials_person_id", "known_credentials", ["person_id"])
    _derive(grants, known)


def _people(table: str, *columns: str) -> Iterator[sa.ForeignKeyConstraint]:
    for column in columns:
        yield sa.ForeignKeyConstraint([column], ["people.id"], name=op.f(f"fk_{table}_{column}_people"))


def _derive(grants: sa.Table, known: sa.Table) -> None:
    """The first two admins, whose role nobody changed since, are the root. Everybody else was given a role by one."""
    at = sa.DateTime(timezone=True)
    entries = sa.table(
        "log_entries", sa.column("id"), sa.column("kind"), sa.column("record"), sa.column("appended_at", at)
    )
    people = sa.table("people", sa.column("id"), sa.column("email"), sa.column("role"), sa.column("created_at", at))
    connection = op.get_bind()
    kinds = ("instance.begin", "person.change_role", "person.reset_password")
    told = connection.execute(
        sa.select(entries.c.kind, entries.c.record, entries.c.appended_at)
        .where(entries.c.kind.in_(kinds)).order_by(entries.c.id)
    )  # fmt: skip
    first: set[str] = set()
    changed: set[str] = set()
    shown: list[tuple[str, str, Any]] = []
    for kind, record, appended_at in told:
        if not record:  # erased
            continue
        said = json.loads(record)
        if kind == "instance.begin":
            first.update(said.get("admins", ()))
        elif kind == "person.change_role":
            changed.add(said["person"])
        else:
            shown.append((said["person"], said.get("actor", {}).get("person", ""), appended_at))
    numbers = {}
    for row in connection.execute(sa.select(people.c.id, people.c.email, people.c.role, people.c.created_at)).all():
        numbers[row.email] = row.id
        if row.email in first - changed and row.role == "admin":
            connection.execute(grants.insert().values(
                person_id=row.id, role="admin", is_root=True, proposed_at=row.created_at, approved_at=row.created_at,
            ))  # fmt: skip
    for person, by, since in shown:
        if person in numbers and by in numbers:
            connection.execute(known.insert().values(person_id=numbers[person], known_by=numbers[by], since=since))


def downgrade() -> None:
    op.drop_table("known_credentials")
    op.drop_table("role_grants")
