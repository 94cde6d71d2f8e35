"""F11 on the cluster: PostgreSQL under both machines comes from a backup. An older one is refused, the newest not."""

import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.domain.audit import sealer
from tests.cluster import checks
from tests.cluster.cluster import DATABASE, ROLES, Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import crowd
from tests.cluster.test_faults import issue, until_issued
from tests.cluster.test_tampering import unsealed, until
from tests.postgres import reachable_binaries

SENTENCE = "an older backup was restored"
BETWEEN = 5  # downloads after the older backup
ASKED = 6  # both machines have their turn
REFUSED_SECONDS = 30

pytestmark = pytest.mark.fault


@dataclass
class Operator:
    """Who makes backups on the first machine, and lets both machines run on a database that was restored.

    The store is one of its own for them, as S3 is: backups hold the database, settings and keys.
    """

    cluster: Cluster
    folder: Path
    path: str  # with PostgreSQL's programs

    def backup(self, name: str) -> Path:
        """Of the running cluster."""
        done = self._run("backup", str(self.folder / name))
        assert done.returncode == 0, done.stderr
        return self.folder / name

    def restore(self, source: Path) -> "subprocess.CompletedProcess[str]":
        """To a new folder and a new database."""
        self.cluster.postgres.run(f"CREATE DATABASE {source.name} OWNER weightgate_owner TEMPLATE template0")
        names = ("MIGRATION_DATABASE_URL", "DATABASE_URL", "SEALER_DATABASE_URL")
        places = (self.cluster.database_url(role).rpartition("/")[0] for role in ROLES)
        urls = {f"WEIGHTGATE_{name}": f"{place}/{source.name}" for name, place in zip(names, places, strict=True)}
        return self._run("restore", str(source), WEIGHTGATE_DATA=str(self.folder / f"restored-{source.name}"), **urls)

    def move_to(self, database: str) -> None:
        """Put a database into the place of the one that the machines had."""
        self.cluster.postgres.run(f"ALTER DATABASE {DATABASE} RENAME TO before_{database}")
        self.cluster.postgres.run(f"ALTER DATABASE {database} RENAME TO {DATABASE}")

    def start(self) -> None:
        for machine in self.cluster.machines:
            for service in ("web", "worker"):
                machine.start(service)

    def stop(self) -> None:
        for machine in self.cluster.machines:
            for service in list(machine.processes):
                machine.stop(service)

    def take_over(self) -> None:
        done = self._run("take-over")
        assert done.returncode == 0, done.stderr

    def _run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        known = {"PATH": self.path, "WEIGHTGATE_EMBEDDED_STORE": "false", "WEIGHTGATE_S3_DOOR": "off"}
        return self.cluster.machines[0].run(*arguments, **(known | more))


@pytest.fixture
def operator(own_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(own_cluster.front.authorities))
    programs = reachable_binaries(tmp_path)
    return Operator(own_cluster, tmp_path, f"{programs}{os.pathsep}{os.environ['PATH']}")


def test_an_older_backup_stops_both_machines_and_the_newest_goes_on(operator: Operator) -> None:
    """Exit code 4 and a sentence from the command and both workers, 503 through nginx; then all goes on, proven."""
    cluster, ledger = operator.cluster, Ledger()
    until_issued(cluster)
    older = operator.backup("older")
    with crowd(cluster, ledger, 2, 4):
        until(lambda: len(ledger.downloads) > BETWEEN)
    until(lambda: unsealed(cluster) == 0)
    with cluster.resources() as use, contextlib.closing(use.as_sealer()) as sealing:
        sealer.anchor(sealing)
    operator.stop()  # what came later would be missing in it, and anchored
    newest = operator.backup("newest")

    done = operator.restore(older)
    assert (done.returncode, done.stderr.splitlines()[-1].count(SENTENCE)) == (4, 1), done.stderr
    operator.move_to("older")
    operator.start()
    for machine in cluster.machines:
        assert machine.processes["worker"].wait(REFUSED_SECONDS) == 4
        assert SENTENCE in machine.said("worker").splitlines()[-1]
    for _ in range(ASKED):
        answer = issue(cluster)
        assert (answer.status_code, "X-Amz-" in answer.text) == (503, False)
    operator.stop()

    done = operator.restore(newest)
    assert done.returncode == 0, done.stderr
    operator.move_to("newest")
    operator.take_over()
    operator.start()
    began = time.monotonic()
    cluster.wait_until_ready()
    print(f"going on {time.monotonic() - began:.1f} s after the start")
    with crowd(cluster, ledger, 2, 4):
        until_issued(cluster)
    assert checks.settle(cluster, ledger, 50) > BETWEEN  # receipts of before, too
    assert ledger.faults == []
    assert cluster.stopped() == []
