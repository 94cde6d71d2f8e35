"""What a schema supports: older code goes on where a migration only adds, and nowhere else."""

import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from server import migrations
from server.domain.schema import METADATA
from server.migrations import support
from tests.empty_databases import difference, go_to, run

FOLDER = Path(migrations.__file__).parent
FIRST = "0037"  # the schema that says it
LATER = '''"""What a later release brings."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{revision}", "{before}", None, None
expands = {expands}


def upgrade() -> None:
    op.{up}


def downgrade() -> None:
    op.{down}
'''
ADDS = {
    "up": 'add_column("tiers", sa.Column("{name}", sa.Text(), nullable=True))',
    "down": 'drop_column("tiers", "{name}")',
}
TRIGGERS = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT relname, tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger "
    "JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal",
}


@pytest.fixture
def url(empty_database: str) -> str:
    return empty_database


def later(folder: Path, *expands: bool) -> Config:
    """The migrations of later releases: ours, and one more for each, which only adds or not."""
    shutil.copytree(FOLDER, folder / "later", ignore=shutil.ignore_patterns("__pycache__"))
    before = migrations.newest()
    for number, only_adds in enumerate(expands, start=1):
        revision = f"9{number:03}"
        parts = {key: value.format(name=f"later_{number}") for key, value in ADDS.items()}
        source = LATER.format(revision=revision, before=before, expands=only_adds, **parts)
        (folder / "later" / "versions" / f"{revision}_later.py").write_text(source, encoding="utf-8")
        before = revision
    config = Config()
    config.set_main_option("script_location", str(folder / "later"))
    return config


def migrate(config: Config, url: str, revision: str = "head") -> None:
    config.attributes["url"] = url
    (command.downgrade if revision[0] == "-" else command.upgrade)(config, revision)


def noted(url: str) -> str | None:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = support.noted(connection)
    engine.dispose()
    return found


def test_code_of_before_works_on_what_was_only_added_to(url: str, tmp_path: Path) -> None:
    """It starts, and is ready; what it may not do is to migrate."""
    migrations.upgrade(url)
    migrate(later(tmp_path, True, True), url)
    assert difference(url) is None
    with pytest.raises(migrations.NewerSchema, match="update the code on this machine"):
        migrations.upgrade(url)


@pytest.mark.parametrize("expands", [(False,), (True, False), (False, True)])
def test_code_of_before_refuses_what_was_changed(url: str, tmp_path: Path, expands: tuple[bool, ...]) -> None:
    """Whatever was only added before or after it."""
    migrations.upgrade(url)
    migrate(later(tmp_path, *expands), url)
    assert "newer than this code" in str(difference(url))


def test_the_way_back_supports_again_what_it_did(url: str, tmp_path: Path) -> None:
    """A release that is taken back leaves no trace of what it needed."""
    migrations.upgrade(url)
    before, config = noted(url), later(tmp_path, True, False)
    migrate(config, url)
    assert noted(url) == "9002"
    migrate(config, url, "-1")
    assert (noted(url), difference(url)) == (before, None)


def test_a_schema_that_says_nothing_supports_its_own_code_only(url: str) -> None:
    """One of before 0037, in the hands of code that does not know it."""
    go_to(url, "0036")
    run(url, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer than this code" in str(difference(url))


def test_each_migration_says_whether_it_only_adds() -> None:
    """From the first one on that could be asked; who forgets it must not let older code in."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    for one in ScriptDirectory.from_config(config).iterate_revisions("head", FIRST):
        assert isinstance(getattr(one.module, "expands", None), bool), one.revision


def described(url: str) -> dict[str, str]:
    """Everything in the schema that older code could meet: by its kind, its table and its name."""
    engine = create_engine(url)
    found: dict[str, str] = {}
    with engine.connect() as connection:
        look = inspect(connection)
        for table in look.get_table_names():
            found[f"table {table}"] = str((
                look.get_pk_constraint(table), look.get_foreign_keys(table), look.get_unique_constraints(table),
                look.get_check_constraints(table),
            ))  # fmt: skip
            found |= {f"column {table} {one['name']}": str(one) for one in look.get_columns(table)}
            for one in look.get_indexes(table):
                options = {name: str(value) for name, value in one.get("dialect_options", {}).items()}
                found[f"index {table} {one['name']}"] = str({**one, "dialect_options": options})
        triggers = connection.execute(text(TRIGGERS[engine.dialect.name]))
        found |= {f"trigger {table} {name}": definition for table, name, definition in triggers}
    engine.dispose()
    return found


def broken_by(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What older code would miss, or be refused by: gone, changed, or demanded of the rows that it writes."""
    changed = [name for name, value in before.items() if after.get(name) != value]
    for name in after.keys() - before.keys():
        kind, table, *_ = name.split(" ")
        demands = {
            "column": "'nullable': False" in after[name] and "'default': None" in after[name],
            "index": "'unique': True" in after[name] or "'unique': 1" in after[name],
            "trigger": True,
            "table": False,
        }[kind]
        if demands and f"table {table}" in before:
            changed.append(name)
    return changed


def test_what_says_that_it_only_adds_does(url: str) -> None:
    """Every migration that does, one by one: nothing of before is gone, changed, guarded anew or must be filled in."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["url"] = url
    for one in reversed(list(ScriptDirectory.from_config(config).iterate_revisions("head", FIRST))):
        if one.module.expands:
            command.upgrade(config, str(one.down_revision))
            before = described(url)
            command.upgrade(config, one.revision)
            assert broken_by(before, described(url)) == [], one.revision
    command.upgrade(config, "head")


def test_what_does_more_than_adding_is_noticed(url: str) -> None:
    """The look at the schema sees each kind of change that older code would meet."""
    migrations.upgrade(url)
    changes = [
        "ALTER TABLE tiers RENAME COLUMN rank TO ranks", "ALTER TABLE mails DROP COLUMN sent_at", "DROP TABLE mails",
        "CREATE UNIQUE INDEX alone ON tiers (ranks)",
    ]  # fmt: skip
    if url.startswith("postgresql"):  # SQLite refuses the first of these itself
        changes += [
            "ALTER TABLE tiers ADD COLUMN more INTEGER NOT NULL", "ALTER TABLE tiers ADD CHECK (ranks > 0)",
            "CREATE TRIGGER guard BEFORE UPDATE ON tiers EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ]  # fmt: skip
    else:
        changes.append("CREATE TRIGGER guard BEFORE UPDATE ON tiers BEGIN SELECT 1; END")
    for change in changes:
        before = described(url)
        run(url, change)
        assert broken_by(before, described(url)) != [], change


def test_a_column_that_may_be_empty_is_only_added(url: str) -> None:
    """And an index of no consequence, and a table."""
    migrations.upgrade(url)
    before = described(url)
    run(url, "ALTER TABLE tiers ADD COLUMN more INTEGER")
    run(url, "CREATE INDEX more ON tiers (rank)")
    run(url, "CREATE TABLE others (id INTEGER NOT NULL)")
    assert broken_by(before, described(url)) == []


def test_a_migration_gives_up_when_a_table_is_in_use(url: str, tmp_path: Path) -> None:
    """In seconds, having changed nothing: everybody else would wait behind it. Afterwards it goes through."""
    migrations.upgrade(url)
    config, before = later(tmp_path, True), noted(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE tiers SET rank = rank"))
        with pytest.raises(OperationalError, match="lock"):
            migrate(config, url)
        assert noted(url) == before
    engine.dispose()
    migrate(config, url)


def test_what_is_retired_is_there_until_a_migration_drops_it(url: str) -> None:
    """The code of before inserts and asks for it; a name that is gone, or used again, is no longer one to pass over."""
    migrations.upgrade(url)
    engine = create_engine(url)
    there = {(table, column["name"]) for table, _ in support.RETIRED for column in inspect(engine).get_columns(table)}
    engine.dispose()
    assert there >= support.RETIRED
    known = {(table.name, column.name) for table in METADATA.tables.values() for column in table.columns}
    assert known.isdisjoint(support.RETIRED)
    run(url, "ALTER TABLE checkpoint_files ADD COLUMN is_another BOOLEAN")
    with pytest.raises(CommandError, match="is_another"):
        migrations.check(url)
