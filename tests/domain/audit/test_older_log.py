"""A log that was written before the audit judged who acted: it verifies, and what it lacks is said in words."""

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Date, LargeBinary, String, column, create_engine, insert, select, table

from server import migrations
from server.cli import instance
from server.domain.audit import verifying
from server.domain.identity.role_grants import RoleGrant
from server.domain.identity.tokens import Token
from server.domain.operation import bootstrap
from server.domain.resources import Resources
from server.domain.schema import METADATA
from server.log.entries import Bytes, LogEntry
from server.storage.database import Moment
from tests import tampering
from tests.postgres import PostgreSQL
from tests.world import DATABASES

VECTOR = Path(__file__).parents[2] / "vectors" / "older_log.json"


@pytest.fixture(params=DATABASES)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Resources]:
    """The instance of then, brought to today's schema; without the key files of then."""
    name, url = f"older_{uuid.uuid4().hex}", f"sqlite:///{tmp_path}/older.sqlite3"
    postgres: PostgreSQL | None = None
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.create(name)
    command.upgrade(migrations._config(url), "0005")
    _fill(url, json.loads(VECTOR.read_text())["tables"])
    migrations.upgrade(url)
    settings = {
        "public_url": "http://localhost:8080", "contact": "help@lab.example", "log_host": "localhost",
        "logger_level": "error", "database_url": url, "s3_endpoint_url": "http://127.0.0.1:1", "s3_bucket": "weights",
        "signer_key_file": "none", "publisher_key_file": "none",
    }  # fmt: skip
    use = Resources(instance.write_settings(tmp_path / "instance", settings))
    yield use
    use.close()
    if postgres is not None:
        postgres.drop(name)


def _fill(url: str, told: dict[str, list[dict[str, Any]]]) -> None:
    engine, closed = create_engine(url), {row["id"]: row.pop("closed_at") for row in told["logs"]}
    try:
        with engine.begin() as connection:
            for today in METADATA.sorted_tables:
                for row in told.get(today.name, []):
                    kinds = {name: today.c[name].type if name in today.c else String() for name in row}  # if renamed
                    then = table(today.name, *(column(name, kind) for name, kind in kinds.items()))
                    values = {name: _value(kinds[name], value) for name, value in row.items()}
                    connection.execute(insert(then).values(values))
    finally:
        engine.dispose()
    for log_id, at in closed.items():  # as owner: nothing is appended to a log that is closed
        moment = None if at is None else at.replace("T", " ").removesuffix("+00:00")
        tampering.run(url, f"UPDATE logs SET closed_at = :at WHERE id = {log_id}", at=moment)  # noqa: S608


def _value(kind: object, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, (LargeBinary, Bytes)):
        return base64.b64decode(value)
    if isinstance(kind, Moment):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if isinstance(kind, Date) else value


def test_a_log_of_before_verifies(older: Resources) -> None:
    """Nobody's old log becomes faulty by an audit that asks for more; both logs of it are whole."""
    found = verifying.verify(older)
    assert [fault for result in found for fault in result.faults] == []
    assert [result.size for result in found] == [116, 3]


def test_what_it_did_not_keep_is_a_note_and_no_fault(older: Resources) -> None:
    """Its live tables are what it says; only the tokens' hashes cannot be held against it, each said in words."""
    found = verifying.verify(older, tables=True)
    assert [fault for result in found for fault in result.faults] == []
    with older.database.reading() as session:
        made = session.scalars(select(Token.public_id)).all()
    said = "its hash cannot be compared, because it was created before the log recorded hashes"
    assert sorted(found[-1].notes) == sorted(f"tokens {name}: {said}" for name in made)


def test_a_row_of_then_that_was_changed_is_named_all_the_same(older: Resources) -> None:
    """What the log kept is compared, also of a log of before; and the columns of an old row against later ones."""
    tampering.run(older.settings.database_url, "UPDATE people SET role = 'auditor' WHERE id = 3",
                  "UPDATE log_entries SET organization_id = 4 WHERE id = 54")  # fmt: skip
    found = [fault for result in verifying.verify(older, tables=True) for fault in result.faults]
    assert [fault.row.partition(" ")[0] for fault in found] == ["entry", "people"]


def test_an_older_instance_adopts_the_rule_of_two_people_once(older: Resources) -> None:
    """One entry; what was done before it is judged as it was, and the first two admins are those whom it names."""
    if older.database.dialect == "postgresql":  # its rows came with their ids
        url = older.settings.database_url
        tampering.run(url, "SELECT setval('log_entries_id_seq', (SELECT max(id) FROM log_entries))")
    before = verifying.verify(older, tables=True)
    assert bootstrap.adopt_rules(older)
    assert not bootstrap.adopt_rules(older)
    with older.database.reading() as session:
        entry = session.scalars(select(LogEntry).where(LogEntry.kind == "rules.adopt")).one()
        standing = [grant.person.email for grant in session.scalars(select(RoleGrant).where(RoleGrant.is_root))]
    assert json.loads(entry.record)["first_admins"] == standing != []
    assert [result.faults for result in verifying.verify(older, tables=True)] == [one.faults for one in before]
