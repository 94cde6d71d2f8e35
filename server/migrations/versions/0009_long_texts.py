"""Long texts: purposes, reasons and outcomes are as long as the code lets them be, which is not the columns' to say."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

COLUMNS = {
    "access_requests": [("purpose", False), ("declined_because", True)],
    "alarms": [("resolution", True)],
    "clearances": [("purpose", False)],
    "everything": [("hold_reason", True)],
    "models": [("hold_reason", True)],
    "organizations": [("suspension_reason", True)],
    "signatures": [("declined_because", True)],
    "stages": [("hold_reason", True)],
}


def upgrade() -> None:
    _become(sa.String(1000), sa.Text())


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        for name, _ in columns:  # what is longer was written after the upgrade
            op.execute(f"UPDATE {table} SET {name} = substr({name}, 1, 1000)")  # noqa: S608  # our own names
    _become(sa.Text(), sa.String(1000))


def _become(before: sa.types.TypeEngine[str], after: sa.types.TypeEngine[str]) -> None:
    for table, columns in COLUMNS.items():
        with op.batch_alter_table(table) as batch_op:
            for name, nullable in columns:
                batch_op.alter_column(name, existing_type=before, type_=after, existing_nullable=nullable)
