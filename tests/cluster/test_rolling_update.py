"""A release that changes the schema, machine by machine under load, and back: nobody notices (F9).

The newer release is our own code with one more migration, the one after it with another that does not only add.
"""

import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from sqlalchemy import select
from urllib3.util import Retry

from server import migrations
from server.log.entries import LogEntry
from tests import parts
from tests.cluster.cluster import Cluster, let_postgresql_in
from tests.cluster.machines import ROOT, Machine
from tests.parts import missing

STAGE = "mini-gpt/base"
CLIENTS = 4
PAUSE_SECONDS = 0.1  # between a client's requests
AGAIN = Retry(total=None, connect=3, other=3, read=0, redirect=0, status=0)  # as nginx is set up again
IN_EACH_STEP = 20  # downloads, at least
STEP_SECONDS = 60
NEWER, NEWEST = "9001", "9002"
MIGRATION = '''"""What a later release brings."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{revision}", "{before}", None, None
expands = {expands}


def upgrade() -> None:
    op.{change}
'''
ADDS = 'add_column("log_entries", sa.Column("later", sa.Text(), nullable=True))'
TAKES_AWAY = 'drop_column("log_entries", "later")'


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if parts.REDIS is None:
        missing("redis-server")
    let_postgresql_in(tmp_path)
    with Cluster(tmp_path, parts.REDIS) as made:
        yield made


def release(folder: Path, *changes: tuple[str, str, bool]) -> Path:
    """Our code with these migrations on top: revision, what it changes, whether it only adds."""
    shutil.copytree(ROOT / "server", folder / "server", ignore=shutil.ignore_patterns("__pycache__"))
    before = migrations.newest()
    for revision, change, expands in changes:
        source = MIGRATION.format(revision=revision, before=before, change=change, expands=expands)
        (folder / "server" / "migrations" / "versions" / f"{revision}_later.py").write_text(source, encoding="utf-8")
        before = revision
    return folder


class Clients:
    """Whoever downloads meanwhile. issued: the ids that they were given; answers: how many, by status.

    A connection that is cut before it has carried a request is made again; a request that was sent must be answered.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ended = threading.Event()
        self._requests: list[str] = []
        self.issued: list[str] = []
        self.answers: Counter[int] = Counter()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def some_more(self) -> set[str]:
        """Wait until they were given more downloads; return the addresses of the machines that answered."""
        begun, deadline = len(self._requests), time.monotonic() + STEP_SECONDS
        while len(self._requests) < begun + IN_EACH_STEP:
            assert time.monotonic() < deadline, self.answers
            time.sleep(0.05)
        return {self._cluster.front.served_by(one) for one in self._requests[begun:]}

    def _run(self) -> None:
        with requests.Session() as session:
            session.trust_env, session.verify = False, str(self._cluster.front.authorities)
            session.mount("https://", HTTPAdapter(max_retries=AGAIN))
            session.headers["Authorization"] = f"Bearer {self._cluster.known['tokens']['cleared']}"
            while not self._ended.wait(PAUSE_SECONDS):
                url, wanted = f"{self._cluster.front.url}/api/v1/downloads", {"stage": STAGE}
                answer = session.post(url, json=wanted, timeout=30)
                self.answers[answer.status_code] += 1
                if answer.status_code == 201:
                    self.issued.append(answer.json()["id"])
                    self._requests.append(answer.headers["X-Request-Id"])


def update(cluster: Cluster, machine: Machine, code: Path | None) -> None:
    """As deploy/README.md says: out of nginx, stop, update, migrate, start, wait, back."""
    cluster.front.take_out(machine)
    for service in ("web", "worker"):
        machine.stop(service)
    machine.code = code
    if code is not None:
        migrated = machine.run("migrate")
        assert migrated.returncode == 0, migrated.stderr
    for service in ("web", "worker"):
        machine.start(service)
    cluster.wait_until_ready()
    cluster.front.put_back(machine)


@pytest.mark.fault
def test_a_release_comes_and_goes_machine_by_machine(cluster: Cluster, tmp_path: Path) -> None:
    """Every request is answered, every answer is in the log, and what older code cannot work on waits for it to end."""
    first, second = cluster.machines
    newer = release(tmp_path / "newer", (NEWER, ADDS, True))
    newest = release(tmp_path / "newest", (NEWER, ADDS, True), (NEWEST, TAKES_AWAY, False))
    clients = Clients(cluster)
    with clients.at_work():
        clients.some_more()
        for machine, code in ((second, newer), (first, newer), (second, None)):
            update(cluster, machine, code)
            assert clients.some_more() == {first.address, second.address}
        told = second.run("doctor").stdout
        assert f"the schema is {NEWER}, and supports this older code: update this machine" in told

        cluster.front.take_out(first)
        for service in ("web", "worker"):
            first.stop(service)
        first.code = newest
        refused = first.run("migrate")
        assert refused.returncode == 1
        assert f"older code: web on {_name(second)}, worker on {_name(second)}." in refused.stderr.replace("\n", " ")
        clients.some_more()
    print(f"answers during three updates and one that was refused: {dict(clients.answers)}")
    assert set(clients.answers) == {201}, clients.answers

    for service in ("web", "worker"):
        second.stop(service)
    migrated = first.run("migrate")
    assert migrated.returncode == 0, migrated.stderr
    second.start("web")
    assert second.processes.pop("web").wait(30) != 0
    assert f"the schema is from another version, {NEWEST}, and newer than this code" in second.said("web")
    _check_the_log(cluster, first, clients.issued)


def _name(machine: Machine) -> str:
    return f"{socket.gethostname()}:{machine.data}"


def _check_the_log(cluster: Cluster, machine: Machine, issued: list[str]) -> None:
    machine.start("worker")
    with cluster.resources() as use, use.database.reading() as session:
        logged = set(session.scalars(select(LogEntry.subject).where(LogEntry.kind == "download")))
    assert set(issued) <= logged
    verified = machine.run("log", "verify", "--tables")
    assert verified.returncode == 0, verified.stdout + verified.stderr
