"""Marks: a database has an id of its own, and the bucket of the objects bears the id of the one database that uses it.

Two instances that share either of them, a restored copy beside the live one or settings that name another's, are two
ids that meet. Several machines of one instance share both, and have one id.
"""

import json
import secrets
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import String, inspect, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from server import dates
from server.storage.database import Base, Database, Key
from server.storage.objects import ObjectStore, ObjectStoreRefused
from server.storage.outside import OutsideFault

OBJECT_KEY = "weightgate/instance.json"  # beside the objects of checkpoints, so no reconciled read is about it


class InstanceId(Base):
    """The one row that says which instance this database is. Made with the schema, and anew by `restore`."""

    __tablename__ = "instance_id"
    id: Mapped[int] = mapped_column(Key, primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(String(32))


class AnotherInstance(OutsideFault):
    """The bucket is used by another database than ours. The text says whose, and what to do."""


def of_database(session: Session) -> str:
    return session.scalars(select(InstanceId.value)).one()


def has_id(session: Session) -> bool:
    """Whether the schema is one that has an id."""
    return inspect(session.connection()).has_table(InstanceId.__tablename__)


def renew(session: Session) -> str | None:
    """Make this database another instance than the one it was copied from; a schema of before ids gets one later."""
    if not has_id(session):
        return None
    value = secrets.token_hex(16)
    session.execute(update(InstanceId).values(value=value))
    return value


def is_marked(database: Database, store: ObjectStore) -> bool:
    """Whether the bucket bears our mark; False where it bears none. Raises AnotherInstance, ObjectStoreError."""
    mark = _read(store)
    if mark is None:
        return False
    with database.reading() as session:
        own = of_database(session)
    if mark.get("instance") != own:
        raise AnotherInstance(
            f"the bucket belongs to another instance than this database ({mark.get('public_url', 'unknown')}, since "
            f"{mark.get('since', 'unknown')}): correct s3_bucket or database_url, or, if that instance is stopped "
            "permanently, run `weightgate-server take-over`"
        )
    return True


def require_own(database: Database, store: ObjectStore) -> None:
    """Raise AnotherInstance when the bucket bears another's mark; one that shows us none passes."""
    try:
        is_marked(database, store)
    except ObjectStoreRefused:
        return  # AWS says so of what is not there to whoever may only read


def claim(database: Database, store: ObjectStore, public_url: str, clock: Callable[[], datetime]) -> None:
    """Mark a bucket that bears no mark. Raises AnotherInstance, ObjectStoreError."""
    if not is_marked(database, store):
        take_over(database, store, public_url, clock)
        is_marked(database, store)  # two that start at once: the later one's mark is what both find


def take_over(database: Database, store: ObjectStore, public_url: str, clock: Callable[[], datetime]) -> None:
    """Mark the bucket, whoever's it was: from then on that one issues nothing."""
    with database.reading() as session:
        own = of_database(session)
    mark = {"instance": own, "public_url": public_url, "since": dates.rfc3339(clock())}
    store.put_bytes(OBJECT_KEY, json.dumps(mark, indent=2).encode() + b"\n")


def _read(store: ObjectStore) -> dict[str, str] | None:
    try:
        content = store.get_bytes(OBJECT_KEY)
    except KeyError:
        return None
    try:
        mark = json.loads(content)
    except ValueError:
        mark = None
    return mark if isinstance(mark, dict) else {}
