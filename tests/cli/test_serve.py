"""`serve`, `store` and `worker`: what systemd or an operator starts, and how it ends."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.cli import instance, processes
from server.storage import keys
from server.storage.embedded import free_port
from tests.cli.operator import Operator
from tests.cli.started import Started, answers
from tests.world import World


def test_serve_names_a_taken_address(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that another program has ends in one line, before anything is started."""
    monkeypatch.setattr(processes, "LEFTOVERS_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("WEIGHTGATE_LISTEN", f"127.0.0.1:{taken.getsockname()[1]}")
        assert "is in use or does not belong to this machine" in operator("serve", code=1).line


def test_serve_refuses_a_loose_key_in_one_line(
    operator: Operator, sqlite_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signer's key that others can read stops the start with the command that mends it."""
    path = sqlite_world.folder / "signer.json"
    keys.write_s3_credentials(path, keys.read_s3_credentials(sqlite_world.settings.signer_key_file))
    path.chmod(0o644)
    monkeypatch.setenv("WEIGHTGATE_SIGNER_KEY_FILE", str(path))
    monkeypatch.setenv("WEIGHTGATE_LISTEN", f"127.0.0.1:{free_port()}")
    assert f"run `chmod 600 {path}`" in operator("serve", code=1).line


def test_store_is_for_an_embedded_one(operator: Operator) -> None:
    """An instance whose store is run elsewhere has none to run."""
    assert "has no embedded store" in operator("store", code=2).line


def test_the_worker_beats_and_ends_when_asked(sqlite_world: World) -> None:
    """It writes its heartbeat at once, and SIGTERM ends it with exit code 0."""
    worker = Started(sqlite_world.folder, "worker")
    try:
        worker.until(lambda: sqlite_world.entries("heartbeat"))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(20) == 0
    finally:
        worker.kill()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Started]:
    """`weightgate-server store` on a folder with nothing but settings."""
    port = free_port()
    values = {
        "public_url": "http://localhost:8080",
        "contact": "help@lab.example",
        "log_host": "localhost",
        "embedded_store": True,
        "s3_endpoint_url": f"http://127.0.0.1:{port}",
        "s3_bucket": "weights",
        "s3_addressing": "path",
    }
    instance.write_settings(tmp_path / "instance", values)
    started = Started(tmp_path / "instance", "store")
    try:
        started.until(lambda: answers(port) and len(started.processes()) >= 3)
        yield started
    finally:
        started.kill()


def test_the_store_alone_ends_whole_when_asked(store: Started) -> None:
    """SIGTERM, as systemd sends it, ends SeaweedFS and its proxy, too, with exit code 0."""
    store.process.send_signal(signal.SIGTERM)
    assert store.process.wait(40) == 0
    assert store.leftovers() == set()


def test_a_store_that_died_is_not_kept_up_as_a_shell(store: Started) -> None:
    """When SeaweedFS dies, the command ends with 1, so that systemd starts it again."""
    (weed,) = store.named("weed")
    os.kill(weed, signal.SIGKILL)
    assert store.process.wait(40) == 1
    assert "the embedded store exited" in store.err
    assert store.leftovers() == set()
