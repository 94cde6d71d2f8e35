"""Nodes: machines that differ are named with what they differ in, and no secret is stored to tell."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from server.domain.operation import doctor, nodes
from server.domain.operation.nodes import Node
from server.domain.resources import Resources
from server.storage import keys
from tests.world import World, write_settings


def another_machine(world: World, folder: Path, **changed: object) -> Resources:
    """A second machine of the world's instance, with keys that are copies."""
    return Resources(write_settings(world.template, folder, world.settings.database_url, **changed), world.clock)


def told(use: Resources) -> list[tuple[bool, str]]:
    return [(check.ok, check.sentence) for check in doctor.examine(use) if check.name == "nodes"]


def test_two_machines_that_agree_are_counted(world: World, tmp_path: Path) -> None:
    """What each may have of its own is not compared; a second beat is no second node."""
    second = another_machine(world, tmp_path / "two", listen="127.0.0.1:8081", web_workers=4, logger_level="debug")
    for use in (world.use, second, second):
        nodes.beat(use, "web")
    nodes.beat(world.use, "worker")
    second.close()
    sentence = "2 web, 1 worker, 0 publisher on 2 machines, with the settings and keys of this one"
    assert told(world.use) == [(True, sentence)]


def test_another_setting_and_another_key_are_named(world: World, tmp_path: Path) -> None:
    """By the machine, the process and the names; what is to do stands there."""
    keys.write_secret(tmp_path / "secret")
    changed = {
        "secret_file": str(tmp_path / "secret"),
        "url_lifetime_seconds": 900,
        "redis_url": "redis://other:6379/0",
    }
    second = another_machine(world, tmp_path / "two", **changed)
    nodes.beat(second, "web")
    name = nodes.here(second.settings)
    second.close()
    [(ok, sentence)] = told(world.use)
    assert not ok
    assert sentence.startswith(f"web on {name} has another redis_url, secret_file, url_lifetime_seconds than this")


def test_a_process_that_runs_with_older_settings_is_to_be_restarted(world: World) -> None:
    """The settings were changed on this very machine after its start."""
    nodes.beat(world.use, "worker")
    made = write_settings(world.template, world.folder, world.settings.database_url, url_lifetime_seconds=60)
    changed = Resources(made, world.clock)
    assert told(changed) == [(False, "worker here was started with another url_lifetime_seconds: restart it")]
    changed.close()


def test_a_node_that_is_gone_counts_for_nothing(world: World) -> None:
    """After five minutes without a beat it is not compared, after a week not kept."""
    nodes.beat(world.use, "web")
    world.clock.advance(timedelta(minutes=6))
    with world.use.database.reading() as session:
        assert nodes.seen(session, world.use) == []
    world.clock.advance(timedelta(days=8))
    nodes.beat(world.use, "worker")
    with world.use.database.reading() as session:
        assert [node.process for node in session.scalars(select(Node))] == ["worker"]


def test_a_password_has_no_say(world: World, tmp_path: Path) -> None:
    """Nobody who reads the table could try passwords on a hash: an address is compared without it."""
    for number, password in enumerate(("one", "two")):
        use = another_machine(world, tmp_path / str(number), redis_url=f"redis://:{password}@127.0.0.1:6379/0")
        nodes.beat(use, "web")
        use.close()
    with world.use.database.reading() as session:
        first, second = session.scalars(select(Node.agreed))
    assert first == second


def test_a_machine_without_the_publisher_s_keys_is_complete(world: World, tmp_path: Path) -> None:
    """`doctor` says there what it could not try, and finds nothing wrong; one key of the two is a fault, as ever."""
    gone = {"publisher_key_file": "keys/none.json", "manifest_key_file": "keys/none.pem"}
    use = another_machine(world, tmp_path / "two", **gone)
    found = {check.name: check for check in doctor.examine(use)}
    use.close()
    assert [check.sentence for check in found.values() if not check.ok] == []
    assert "none for publishing" in found["keys"].sentence
    assert "run `doctor` on the machine that has the publisher's key" in found["signed URLs"].sentence
    one = another_machine(world, tmp_path / "three", publisher_key_file="keys/none.json")
    assert next(check.name for check in doctor.examine(one) if "none.json is missing" in check.sentence) == "keys"
    one.close()
