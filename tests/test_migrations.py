"""Migrations: the same on both databases, whole or not at all, and equal to the tables in the code."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, create_engine, select, text

from server import migrations
from server.cli import instance as making
from server.domain.schema import METADATA
from server.migrations import turns
from server.storage.parent_death import ending_with_parent
from tests.browser.demo_portal import until
from tests.empty_databases import difference, go_to, outgrow, run, tables

AT, DAY = datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1)
PERSON = {"id": 1, "organization_id": 1, "email": "ada@example.org", "name": "Ada", "role": "owner",
          "password_hash": "hash", "totp_secret_sealed": b"sealed", "created_at": AT}  # fmt: skip
SIGNATURE = {"organization_id": 1, "agreement_id": 1, "version_id": 1, "signer_name": "Ada", "signer_title": "Chief",
             "signed_on": DAY, "document_sha256": "sha"}  # fmt: skip
# What an instance of before the portal holds, in an order in which each row finds those that it names.
BEFORE_THE_PORTAL: dict[str, dict[str, Any]] = {
    "organizations": {"id": 1, "slug": "aurora", "name": "Aurora", "is_lab": False, "created_at": AT},
    "people": PERSON,
    "tokens": {"id": 1, "public_id": "abcdefghijkl", "secret_sha256": b"secret", "organization_id": 1, "person_id": 1,
               "name": "laptop", "scopes": "stages:read", "networks": "", "created_at": AT, "expires_at": AT},
    "agreements": {"id": 1, "name": "sharing", "current_version_id": 1},
    "agreement_versions": {"id": 1, "agreement_id": 1, "number": 1, "sha256": "sha", "title": "Sharing", "text": "text",
                           "published_at": AT, "published_by": "ada@example.org"},
    "signatures": {"id": 1, **SIGNATURE, "countersigned_by": "ben@example.org", "countersigned_at": AT},
    "models": {"id": 1, "name": "gpt-2", "title": "GPT-2", "created_at": AT},
    "tiers": {"id": 1, "name": "research", "rank": 20},
    "clearances": {"id": 1, "organization_id": 1, "model_id": 1, "tier_id": 1, "purpose": "study", "starts_at": AT,
                   "expires_at": AT, "proposed_by": 1, "proposed_at": AT},
    "alarms": {"id": 1, "cause_sha256": "cause", "kind": "ghost_read", "reason": "why", "raised_at": AT, "read_at": AT,
               "organization_id": 1, "object_key": "key", "address": "::1", "signed_by": "", "user_agent": ""},
}  # fmt: skip
CHANGED_BY_THE_PORTAL = ("people", "tokens", "signatures", "clearances", "alarms")


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    """Names, columns, types and constraints: nothing is missing and nothing is left over."""
    migrations.upgrade(url)
    migrations.check(url)
    assert tables(url) == {*METADATA.tables, "alembic_version"}


@pytest.fixture
def url(empty_database: str) -> str:
    return empty_database


def is_current(url: str) -> bool:
    return difference(url) is None


def test_a_second_upgrade_changes_nothing(url: str) -> None:
    """An operator may run it again at any time."""
    migrations.upgrade(url)
    run(url, "INSERT INTO agreements (name) VALUES ('kept')")
    before = tables(url)
    migrations.upgrade(url)
    assert tables(url) == before
    assert is_current(url)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT name FROM agreements")) == "kept"
    engine.dispose()


def insert(url: str, table: str, values: dict[str, Any]) -> None:
    """A row, into the table as it is now."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(Table(table, MetaData(), autoload_with=connection, resolve_fks=False).insert(), values)
    engine.dispose()


def rows(url: str, table: str) -> list[dict[str, Any]]:
    """What stands in the table as it is now."""
    engine = create_engine(url)
    with engine.connect() as connection:
        now = Table(table, MetaData(), autoload_with=connection, resolve_fks=False)
        found = [dict(row) for row in connection.execute(select(now)).mappings()]
    engine.dispose()
    return found


def test_the_portals_columns_come_and_go_around_what_is_there(url: str) -> None:
    """An instance of before keeps every row, on the way to the newest schema and back."""
    go_to(url, "0003")
    for table, values in BEFORE_THE_PORTAL.items():
        insert(url, table, values)
    before = {table: rows(url, table) for table in CHANGED_BY_THE_PORTAL}
    migrations.upgrade(url)
    migrations.check(url)
    for table, (kept,) in before.items():
        (row,) = rows(url, table)
        assert {name: row[name] for name in kept} == kept
    insert(url, "token_uses", {"token_id": 1, "used_at": AT})
    go_to(url, "0003")
    assert {table: rows(url, table) for table in CHANGED_BY_THE_PORTAL} == before
    migrations.upgrade(url)
    migrations.check(url)


def test_the_way_back_drops_what_nobody_countersigned(url: str) -> None:
    """Before the portal there was no such thing: a signature that waits would count there as one in force."""
    go_to(url, "0003")
    for table, values in BEFORE_THE_PORTAL.items():
        insert(url, table, values)
    migrations.upgrade(url)
    insert(url, "signatures", {"id": 2, **SIGNATURE})
    go_to(url, "0003")
    assert [row["id"] for row in rows(url, "signatures")] == [1]


def test_the_way_back_stops_where_months_were_archived(url: str) -> None:
    """The code before would take the first such row for one that was changed, and stop the log."""
    migrations.upgrade(url)
    insert(
        url, "logs", {"id": 1, "name": "2026", "origin": "a/2026", "vkey": "v", "receipt_vkey": "r", "created_at": AT}
    )
    insert(url, "log_entries", {"id": 1, "log_id": 1, "kind": "download", "appended_at": AT, "record": b"",
                                "salt": b"salt", "commitment": b"commitment", "leaf_index": 0})  # fmt: skip
    with pytest.raises(RuntimeError, match="archived records"):
        go_to(url, "0040")
    assert rows(url, "alembic_version") == [{"version_num": "0041"}]


def test_an_empty_database_is_not_current(url: str) -> None:
    """Nor is one that another version of this code has made."""
    assert not is_current(url)
    migrations.upgrade(url)
    outgrow(url)
    assert not is_current(url)


def test_a_migration_that_dies_leaves_nothing(url: str) -> None:
    """A table in the way of the last step undoes the first ones too; without it the upgrade goes through."""
    run(url, "CREATE TABLE tokens (id INTEGER)")
    with pytest.raises(Exception, match="tokens"):
        migrations.upgrade(url)
    assert tables(url) <= {"tokens", "alembic_version"}
    assert not is_current(url)
    run(url, "DROP TABLE tokens")
    migrations.upgrade(url)
    assert is_current(url)


def test_a_table_that_was_changed_by_hand_is_noticed(url: str) -> None:
    """The check compares with the real database, not with itself."""
    migrations.upgrade(url)
    run(url, "ALTER TABLE tiers ADD COLUMN more INTEGER")
    with pytest.raises(Exception, match="more"):
        migrations.check(url)


def test_two_nodes_migrate_at_the_same_moment(url: str, tmp_path: Path) -> None:
    """Of two processes that both wait for their turn on an old schema, one migrates; the other finds nothing to do."""
    go_to(url, "0030")
    nodes = [_node(tmp_path / name, url) for name in ("one", "two")]
    with turns.alone(url):
        started = [_migrating(node) for node in nodes]
        until(lambda: all("waiting for it" in (node / "messages").read_text() for node in nodes), seconds=30)
        assert not is_current(url)
    assert [process.wait(60) for process in started] == [0, 0], [(node / "messages").read_text() for node in nodes]
    assert is_current(url)
    migrations.check(url)


def test_a_migration_whose_process_was_killed_is_in_nobodys_way(url: str, tmp_path: Path) -> None:
    """The turn ends with the process that had it."""
    go_to(url, "0030")
    code = (
        f"from server.migrations import turns\nwith turns.alone({url!r}):\n    print('mine', flush=True)\n    input()"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"mine\n"
    waiting = _migrating(_node(tmp_path / "one", url))
    until(lambda: "waiting for it" in (tmp_path / "one" / "messages").read_text(), seconds=30)
    holder.kill()
    holder.communicate()
    assert waiting.wait(60) == 0
    assert is_current(url)


def test_older_code_changes_nothing_in_a_newer_schema(url: str) -> None:
    """It says which of the two is newer, and what to do; so does newer code before it has migrated."""
    migrations.upgrade(url)
    outgrow(url)
    with pytest.raises(migrations.NewerSchema, match=r"newer than this code.*update the code on this machine"):
        migrations.upgrade(url)
    assert "9999" in str(difference(url))
    run(url, "UPDATE alembic_version SET version_num = '0030'")
    assert "older than this code" in str(difference(url))
    assert "weightgate-server migrate" in str(difference(url))


def _node(folder: Path, url: str) -> Path:
    """A machine's folder, whose settings name this database."""
    making.write_keys(making.write_settings(folder, {
        "public_url": "http://localhost:8080", "contact": "clearance@example.org", "log_host": "localhost",
        "database_url": url, "s3_bucket": "weights", "s3_endpoint_url": "http://127.0.0.1:1",
    }))  # fmt: skip
    return folder


def _migrating(node: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "server", "--data", str(node), "migrate"]
    with (node / "messages").open("wb") as messages:
        return subprocess.Popen(command, stdout=messages, stderr=messages, preexec_fn=ending_with_parent(SIGKILL))
