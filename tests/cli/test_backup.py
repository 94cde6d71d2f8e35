"""`backup` and `restore`: consistent while running, whole or not at all."""

import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from server import migrations, settings
from server.cli import restoring
from server.cli.init import store_of
from server.domain.downloads import issuing
from server.domain.operation import backups, instance_files
from server.domain.resources import Resources
from server.log.entries import LogEntry
from server.settings import FILE_NAME, Settings
from server.storage.embedded import free_port
from server.storage.objects import ObjectStoreUnavailable, S3Objects
from tests.cli.operator import Operator
from tests.postgres import PostgreSQL, reachable_binaries
from tests.small_disk import Disk
from tests.world import DATABASES, World, copied_world, write_settings

# Where `init` puts the embedded store's keys; the others lie where the settings say when nobody names them.
KEYS = {"signer_key_file": "store/keys/signer-s3.json", "publisher_key_file": "store/keys/publisher-s3.json"}
ROLES = ("sealer_database_url", "migration_database_url")


@pytest.fixture(params=DATABASES)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A world like an instance that `init` made: the session's store is its embedded one, its keys in its folder."""
    yield from as_instance(request, tmp_path, request.param)


@pytest.fixture
def sqlite_running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The same on SQLite alone."""
    yield from as_instance(request, tmp_path, "sqlite")


def as_instance(request: pytest.FixtureRequest, folder: Path, kind: str) -> Iterator[World]:
    for world in copied_world(request, folder, kind):
        known = {name for name in Settings.model_fields if name.endswith("_file")}
        files = {name for name in known if getattr(world.settings, name) is not None}
        places = {name: KEYS.get(name, str(Settings.model_fields[name].default)) for name in files}
        for name, place in places.items():
            source, target = getattr(world.settings, name), world.folder / place
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if source.exists():
                shutil.copy(source, target)
        url = "sqlite:///weightgate.sqlite3" if kind == "sqlite" else world.settings.database_url
        write_settings(world.template, world.folder, url, embedded_store=True, **places)
        if kind == "postgresql":
            tools = reachable_binaries(folder)
            request.getfixturevalue("monkeypatch").setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
        yield world


@pytest.fixture
def another_machine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, newcomer: Operator
) -> Iterator[Operator]:
    """A new folder, whose store has a port of its own; for PostgreSQL with a new, empty database."""
    monkeypatch.setenv("WEIGHTGATE_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    if request.node.callspec.params["running"] == "sqlite":
        yield newcomer
        return
    postgres: PostgreSQL = request.getfixturevalue("postgres")
    name = f"restored_{os.urandom(4).hex()}"
    monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", postgres.create(name))
    yield newcomer
    postgres.drop(name)


def entries(use: Resources) -> dict[int, bytes]:
    with use.database.reading() as session:
        return {entry.id: entry.record for entry in session.scalars(select(LogEntry).order_by(LogEntry.id))}


def backed_up(operator: Operator, folder: Path) -> Path:
    operator("backup", folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def at(world: World, newcomer: Operator) -> Operator:
    """The newcomer, at the world's folder."""
    there = newcomer.elsewhere(world.folder)
    return there.knows(world)


def test_a_backup_under_load_comes_back_with_the_same_bytes_and_entries(
    running: World, newcomer: Operator, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Downloads go on while it is taken; what is restored is the log's exact beginning, and serves every byte."""
    stop, failures = threading.Event(), list[BaseException]()

    def keep_issuing() -> None:
        try:
            while not stop.is_set():
                issuing.issue(running.use, running.caller("cleared"), running.order())
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=keep_issuing)
    writer.start()
    body = at(running, newcomer)("backup", tmp_path / "backup", "--json").body
    stop.set()
    writer.join()
    assert failures == []
    assert (body["new_objects"] > 0, body["not_copied"]) == (True, [])

    there: Operator = request.getfixturevalue("another_machine")
    assert there("restore", tmp_path / "backup", "--json").body["objects"] == body["new_objects"]
    use = Resources(settings.load(there.folder))
    with store_of(there.folder, use.settings):
        known, restored = entries(running.use), entries(use)
        assert list(restored.items()) == list(known.items())[: len(restored)]
        issued = issuing.issue(use, running.caller("cleared"), running.order("mini-gpt/base"))
        for file, url in zip(issued.files, issued.urls, strict=True):
            source = running.template.sources / "mini-gpt" / "base" / file.path
            assert requests.get(url, timeout=10).content == source.read_bytes()
        assert "WRONG" not in there("doctor").out
    use.close()
    restored_into = use.settings.database_url
    request.getfixturevalue("monkeypatch").delenv("WEIGHTGATE_DATABASE_URL", raising=False)
    assert settings.load(there.folder).database_url == restored_into != running.settings.database_url


def test_a_backup_is_for_its_owner_alone(sqlite_running: World, newcomer: Operator, tmp_path: Path) -> None:
    """Everything in it is unreadable for others, but the public key."""
    target = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    private = [path for path in target.rglob("*") if path.is_file() and not path.name.endswith(".pub.pem")]
    assert {path.name for path in private} >= {"database", FILE_NAME, "secret", "signer-s3.json", "manifest.key.pem"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in private} == {"0o600"}


def test_a_second_backup_copies_only_what_is_new(sqlite_running: World, newcomer: Operator, tmp_path: Path) -> None:
    """Objects never change: given again, only those of a new checkpoint are fetched."""
    operator = at(sqlite_running, newcomer)
    assert operator("backup", tmp_path / "backup", "--json").body["new_objects"] > 0
    assert operator("backup", tmp_path / "backup", "--json").body["new_objects"] == 0


def test_an_interrupted_backup_keeps_the_one_before(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store dies in the middle, the folder still holds the previous backup, whole: its own files, too."""
    operator = at(sqlite_running, newcomer)
    target = backed_up(operator, tmp_path / "backup")
    before = contents(target)
    sqlite_running.api("POST", "/downloads", json={"stage": "gpt-2/774M"})
    shutil.rmtree(target / backups.OBJECTS / "checkpoints" / "mini-gpt")
    with (sqlite_running.folder / FILE_NAME).open("a") as stream:
        stream.write("# changed since\n")

    def die(*_: object) -> None:
        raise ObjectStoreUnavailable("the object store did not respond")

    with monkeypatch.context() as patch:
        patch.setattr(S3Objects, "download", die)
        assert "did not respond" in operator("backup", target, code=1).line
    after, kept = contents(target), [name for name in before if not name.startswith(backups.OBJECTS)]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    operator("backup", target)
    assert all(contents(target)[name] != before[name] for name in ("database", FILE_NAME))
    assert not (target / instance_files.STAGED).exists()
    backups.require_whole(target)


def test_what_lies_outside_the_folder_is_named(operator: Operator, tmp_path: Path) -> None:
    """Keys that the settings name elsewhere are not copied, and the operator is told which."""
    assert "NOT copied" in operator("backup", tmp_path / "backup").out
    named = operator("backup", tmp_path / "backup", "--json").body["not_copied"]
    assert any(one["file"].endswith("signer-s3.json") for one in named)


def test_a_backup_into_the_instance_is_refused(operator: Operator) -> None:
    """A backup beside what it is a backup of would be lost with it, and grow with each other one."""
    for target in (operator.folder, operator.folder / "backup"):
        assert "is inside" in operator("backup", target, code=1).line


def test_restoring_into_what_is_there_is_refused(sqlite_running: World, newcomer: Operator, tmp_path: Path) -> None:
    """A folder with anything in it is left exactly as it was."""
    operator = at(sqlite_running, newcomer)
    target = backed_up(operator, tmp_path / "backup")
    before = contents(sqlite_running.folder)
    assert "is not empty" in operator("restore", target, code=1).line
    assert contents(sqlite_running.folder) == before


@pytest.mark.parametrize("missing", ["database", FILE_NAME, backups.INDEX])
def test_an_incomplete_backup_is_refused(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, missing: str
) -> None:
    """Without its database, settings or index it is no backup, and the new folder stays empty."""
    target = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    (target / missing).unlink()
    line = newcomer("restore", target, code=1).line
    assert "does not contain a complete backup" in line or "is missing or damaged" in line
    assert not newcomer.folder.exists() or list(newcomer.folder.iterdir()) == []


@pytest.mark.parametrize("damage", ["changed", "removed", "truncated"])
def test_a_tampered_object_is_refused(sqlite_running: World, newcomer: Operator, tmp_path: Path, damage: str) -> None:
    """One byte of one object is enough: nothing is restored, and the object is named."""
    target = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    item = json.loads((target / backups.INDEX).read_bytes())["objects"][-1]
    path = target / backups.OBJECTS / item["object_key"]
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(content[:-1] + (b"" if damage == "truncated" else bytes([content[-1] ^ 1])))
    assert (
        f"{item['object_key']} is missing or differs from what was published"
        in newcomer("restore", target, code=1).line
    )
    assert list(newcomer.folder.iterdir()) == []


def test_an_object_that_is_lost_in_the_store_stops_the_backup(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup without an object that somebody published would pass for whole: it is not made."""

    def lost(_: object, key: str, path: Path) -> None:
        raise KeyError(key)

    monkeypatch.setattr(S3Objects, "download", lost)
    assert "is missing from the store" in at(sqlite_running, newcomer)("backup", tmp_path / "backup", code=1).line
    assert not (tmp_path / "backup" / "database").exists()


@pytest.fixture
def restoring_beside(
    operator: Operator, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], str]:
    """Restore a copy of a live instance, whose bucket is in a store elsewhere; returns what that printed."""

    def restore() -> str:
        operator("backup", tmp_path / "backup")
        with monkeypatch.context() as patch:
            patch.setenv("WEIGHTGATE_DATABASE_URL", "sqlite:///weightgate.sqlite3")
            return newcomer("restore", tmp_path / "backup").out

    return restore


@pytest.fixture
def copied(newcomer: Operator, sqlite_world: World, restoring_beside: Callable[[], str]) -> Iterator[Operator]:
    """At such a copy."""
    restoring_beside()
    yield newcomer
    sqlite_world.use.take_over_bucket()  # all worlds share it


def test_restoring_says_what_is_still_the_same(newcomer: Operator, restoring_beside: Callable[[], str]) -> None:
    """Address, bucket and keys elsewhere are those of the live instance: each is named, and so is the way on."""
    out = restoring_beside()
    assert f"CHECK {newcomer.folder / FILE_NAME} BEFORE YOU START ANYTHING" in out
    for name in ("public_url", "listen", "s3_bucket", "signer_key_file"):
        assert re.search(rf"^  {name} +\S", out, re.MULTILINE)
    assert f"Once that instance is stopped permanently: `weightgate-server --data {newcomer.folder} take-over`" in out


def test_a_copy_is_told_where_the_log_leaves_to(sqlite_world: World) -> None:
    """Two instances that mirror to one place would each find the other's log there."""
    made = sqlite_world.settings.model_copy(update={"log_mirror": "public-log/mirror", "log_months": "audit-log"})
    named = restoring.shared_with_the_source(made)
    assert (named["log_mirror"], named["log_months"]) == ("public-log/mirror", "audit-log")


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_copy_starts_only_once_it_took_the_bucket_over(
    copied: Operator, sqlite_world: World, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Until then it is refused, and afterwards the instance that had the bucket is."""
    monkeypatch.setenv("WEIGHTGATE_LISTEN", f"127.0.0.1:{free_port()}")
    assert "the bucket belongs to another instance" in copied(command, code=1).line
    assert "WRONG  ownership" in copied("doctor", code=1).out
    copied("take-over")
    assert "WRONG  ownership" not in copied("doctor", code=None).out
    former = copied.elsewhere(sqlite_world.folder)
    assert "the bucket belongs to another instance" in former(command, code=1).line


@pytest.mark.parametrize("running", ["postgresql"], indirect=True)
@pytest.mark.parametrize("name", ["database_url", "sealer_database_url", "migration_database_url"])
def test_no_role_is_left_at_the_live_database(
    running: World, newcomer: Operator, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:  # fmt: skip
    """Any of the three URLs that leads to a database in use ends the command before that database is touched."""
    live, path = running.settings.database_url, running.folder / FILE_NAME
    path.write_text(path.read_text() + "".join(f'{role} = "{live}"\n' for role in ROLES))
    newcomer.elsewhere(running.folder)("backup", tmp_path / "backup")
    another_machine: Operator = request.getfixturevalue("another_machine")
    new = os.environ["WEIGHTGATE_DATABASE_URL"]
    monkeypatch.delenv("WEIGHTGATE_DATABASE_URL")
    for other in {"database_url", *ROLES} - {name}:
        monkeypatch.setenv(f"WEIGHTGATE_{other.upper()}", new)
    line = another_machine("restore", tmp_path / "backup", code=1).line
    assert f"{name} leads to a database that is in use" in line
    assert f"Set WEIGHTGATE_{name.upper()}" in line
    assert list(another_machine.folder.iterdir()) == []
    monkeypatch.setenv(f"WEIGHTGATE_{name.upper()}", new)
    another_machine("restore", tmp_path / "backup")
    for role in ("database_url", *ROLES):
        monkeypatch.delenv(f"WEIGHTGATE_{role.upper()}")
    made = settings.load(another_machine.folder)
    assert [getattr(made, role) for role in ("database_url", *ROLES)] == [new] * 3


def test_two_new_databases_for_one_instance_are_refused(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each role must find the database that was restored."""
    target = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    another = tmp_path / "another.sqlite3"
    migrations.upgrade(f"sqlite:///{another}")
    monkeypatch.setattr(restoring, "_is_in_use", lambda _: False)  # as an empty one that fills meanwhile
    monkeypatch.setenv("WEIGHTGATE_SEALER_DATABASE_URL", f"sqlite:///{another}")
    monkeypatch.setenv("WEIGHTGATE_S3_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "sealer_database_url leads to another database" in newcomer("restore", target, code=1).line
    assert list(newcomer.folder.iterdir()) == []


def test_a_backup_goes_into_its_own_kind_of_database(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of SQLite is no dump of PostgreSQL; the URL is shown without its password."""
    target = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    monkeypatch.setenv("WEIGHTGATE_DATABASE_URL", "postgresql+psycopg://a:hidden@127.0.0.1/b")
    answer = newcomer("restore", target, code=1)
    assert "The backup is of a sqlite database, but database_url is postgresql" in answer.line
    assert "hidden" not in answer.err


def test_a_full_disk_under_a_backup_is_named(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, disk: Disk
) -> None:
    """By the target that was given, whether the database or an object found no room; the disk's room is given back."""
    operator, target = at(sqlite_running, newcomer), disk.folder / "backup"
    disk.fill()
    assert f"No space left on device: {target}" in operator("backup", target, code=1).line
    disk.fill(leave_bytes=4 << 20)  # the database and the keys have room
    assert f"No space left on device: {target}" in operator("backup", target, code=1).line
    assert (target / instance_files.STAGED / FILE_NAME).exists()
    disk.make_room()
    operator("backup", target)


def test_a_full_disk_under_a_restored_instance_is_named(
    sqlite_running: World, newcomer: Operator, tmp_path: Path, disk: Disk
) -> None:
    """By the new folder, and not by the backup, which was only read; nothing is left of it."""
    source = backed_up(at(sqlite_running, newcomer), tmp_path / "backup")
    there = newcomer.elsewhere(disk.folder / "new")
    disk.fill()
    assert f"No space left on device: {there.folder}" in there("restore", source, code=1).line
    assert not (there.folder / FILE_NAME).exists()
