"""Production: each check has been seen to say what is wrong, and what to do."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from server.domain.audit import sealer
from server.domain.identity.people import Person
from server.domain.operation import nodes, production
from server.domain.operation.door_probes import Wrong
from server.domain.resources import Resources
from server.storage.bucket_protection import BucketProtection
from server.storage.embedded import EmbeddedStore
from tests.cli.conftest import operator
from tests.cli.operator import Operator
from tests.postgres import NOT_DURABLE, PostgreSQL
from tests.world import World, copied_world, write_settings

__all__ = ["operator"]  # a fixture of the tests of commands
Told = Callable[..., str]
CHECK = dict(production.CHECKS)


@pytest.fixture
def told(sqlite_world: World) -> Iterator[Told]:
    """What a check says is wrong of the world's instance with some settings changed; "" where it finds nothing."""
    opened: list[Resources] = []

    def run(name: str, **changed: Any) -> str:
        made = sqlite_world.use.settings.model_copy(update=changed)
        opened.append(Resources(made, sqlite_world.clock))
        return wrong(name, opened[-1])

    yield run
    for use in opened:
        use.close()


def wrong(name: str, use: Resources) -> str:
    try:
        CHECK[name](use)
    except Wrong as fault:
        return "; ".join(map(str, fault.args))
    return ""


def test_a_demo_is_no_production(sqlite_world: World, told: Told) -> None:
    """By its file, and by people of examples."""
    assert "people have addresses of examples, such as ada@example-lab.example" in told("demo")
    (sqlite_world.settings.folder / "demo.json").touch()
    assert "make an instance with `init`" in told("demo")


def test_addresses_that_no_partner_reaches_are_named(told: Told) -> None:
    """Plain HTTP, loopback, the embedded store behind nothing, and a contact that nobody reads: each by itself."""
    found = told("addresses", embedded_store=True)
    for words in ("public_url is not https", "leads to this machine alone", "the embedded store is at"):
        assert words in found
    assert "contact is clearance@example-lab.example" in found
    public = {"public_url": "https://weights.lab.org", "s3_endpoint_url": None, "contact": "clearance@lab.org"}
    assert told("addresses", **public) == ""


def test_handed_passwords_are_named(sqlite_world: World, told: Told) -> None:
    """While somebody else knows it, nothing that an admin is said to have done is theirs alone."""
    assert told("accounts") == ""
    with sqlite_world.use.database.transaction() as session:
        session.execute(update(Person).where(Person.email == "ben@example-lab.example").values(password_is_handed=True))
    assert "ben@example-lab.example: let them sign in and replace it" in told("accounts")


def test_sqlite_under_two_machines_is_named(sqlite_world: World, told: Told, tmp_path: Path) -> None:
    """One machine may have it."""
    nodes.beat(sqlite_world.use, "web")
    assert told("durability") == ""
    made = write_settings(sqlite_world.template, tmp_path / "two", sqlite_world.settings.database_url)
    second = Resources(made, sqlite_world.clock)
    nodes.beat(second, "web")
    second.close()
    assert "set up a new instance on PostgreSQL" in told("durability")
    assert "set redis_url" in told("counting", web_workers=1)


def test_a_postgresql_that_forgets_is_named(postgresql_use: Resources, postgres: PostgreSQL) -> None:
    """The tests' own server is quick because a crash would cost it everything, and its one role may do all."""
    found = wrong("durability", postgresql_use)
    for name in NOT_DURABLE:
        assert f"{name} is off, so committed entries can be lost in a crash" in found
    assert "set sealer_database_url" in found
    postgres.be_durable(True)
    try:
        assert "is off" not in wrong("durability", postgresql_use)
    finally:
        postgres.be_durable(False)


def test_another_clock_than_postgresql_s_is_named(postgresql_use: Resources) -> None:
    """Six seconds are seen."""
    late = Resources(postgresql_use.settings, lambda: postgresql_use.clock() - timedelta(seconds=6))
    assert "run an NTP client on both" in wrong("durability", late)
    late.close()


@pytest.fixture
def postgresql_use(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Resources]:
    for world in copied_world(request, tmp_path, "postgresql"):
        yield world.use


def test_counting_apart_and_sending_nothing_are_named(told: Told) -> None:
    """Two web processes without Redis; no mail server; mails that are shown to anyone."""
    assert "set redis_url" in told("counting", web_workers=2)
    assert told("counting", web_workers=1) == told("counting", redis_url="redis://127.0.0.1/0") == ""
    assert "set smtp_url" in told("sending")
    assert "remove it" in told("sending", development_mails=True)
    assert told("sending", smtp_url="smtps://mail.lab.org") == ""


def test_a_log_without_anchors_of_late_is_named(
    sqlite_world: World, told: Told, embedded_store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None are kept; none was made yet; the last one is old; and the bucket would let them be replaced."""
    assert "set anchor_bucket" in told("anchoring")
    kept = {"anchor_bucket": embedded_store.anchor_bucket, "anchor_key_file": embedded_store.anchor_key_file}
    assert "the log was anchored never: start the worker" in told("anchoring", **kept)
    monkeypatch.setattr(BucketProtection, "locks_objects", lambda _: None)
    anchoring = Resources(sqlite_world.settings.model_copy(update=kept), sqlite_world.clock)
    sealer.anchor(anchoring)
    assert wrong("anchoring", anchoring) == ""
    monkeypatch.setattr(BucketProtection, "locks_objects", lambda _: False)
    assert "make one that has it" in wrong("anchoring", anchoring)
    sqlite_world.clock.advance(timedelta(hours=2))
    assert "the log was anchored last on" in wrong("anchoring", anchoring)
    anchoring.close()


def test_the_store_is_asked_what_it_keeps(
    sqlite_world: World, told: Told, embedded_store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real bucket without versions says so; one that does not tell is no fault."""
    with closing(sqlite_world.use.protection_of("weights-versions", embedded_store.publisher_key_file)) as bucket:
        bucket.ensure_bucket()
        assert "turn on versioning" in told("versions", s3_bucket=bucket.bucket)  # not that of other tests' objects
        bucket._client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration={"Status": "Enabled"})
        assert told("versions", s3_bucket=bucket.bucket) == ""
    monkeypatch.setattr(BucketProtection, "keeps_versions", lambda _: None)
    assert "does not tell" in production.versions(sqlite_world.use)


def test_no_backup_of_late_is_named(sqlite_world: World, told: Told, operator: Operator, tmp_path: Path) -> None:
    """`backup` leaves its moment in the database, for every machine to see."""
    assert "never backed up here" in told("backup")
    operator("backup", tmp_path / "copy")
    assert told("backup") == ""
    sqlite_world.clock.advance(timedelta(days=3))
    assert "weightgate-daily@backup.timer" in told("backup")


def test_open_settings_and_debugging_are_named(sqlite_world: World, told: Told) -> None:
    """Each with the command or line that mends it."""
    folder = sqlite_world.settings.folder
    folder.chmod(0o755)
    (folder / "weightgate.toml").chmod(0o644)
    found = told("folder", logger_level="debug")
    assert f"run `chmod go= {folder}`" in found
    assert f"chmod go= {folder / 'weightgate.toml'}" in found
    assert 'set "info"' in found
    folder.chmod(0o700)
    (folder / "weightgate.toml").chmod(0o600)
    assert told("folder") == ""


def test_doctor_asks_for_production_only_if_told(operator: Operator, sqlite_world: World) -> None:
    """A demo passes the check-up, and is refused as production, with exit code 1."""
    plain = {line["name"] for line in operator("doctor", "--json", code=None).body}
    asked = operator("doctor", "--production", "--json", code=1).body
    assert {line["name"] for line in asked} - plain == set(CHECK)
    assert [line["ok"] for line in asked if line["name"] == "addresses"] == [False] * 4
