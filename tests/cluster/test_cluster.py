"""The cluster of `make cluster`: what it is made of, load on it, and its smoke test with the fault tests."""

from pathlib import Path

import pytest

from tests.cluster import load, smoke
from tests.cluster.cluster import PORTS, Cluster
from tests.cluster.front import Front
from tests.cluster.machines import PUBLISHER_KEYS, Machine, unit


@pytest.mark.parametrize("service", ["web", "worker", "publisher"])
def test_a_machine_runs_what_its_unit_says(service: str) -> None:
    """The program is there, and the variables are the unit's: a cluster that differs from the units proves nothing."""
    command, environment = unit(service)
    assert Path(command[0]).exists()
    assert set(environment) == {"WEIGHTGATE_DATA", "AWS_CA_BUNDLE", "PYTHONDONTWRITEBYTECODE"}


def test_a_further_machine_has_no_key_that_only_publishing_needs(tmp_path: Path) -> None:
    """It gets the settings with an address of its own, and every other key, closed to others."""
    first, second = (Machine(tmp_path / name, port, tmp_path) for name, port in (("one", 8001), ("two", 8002)))
    (first.data / "keys").mkdir(parents=True)
    (first.data / "weightgate.toml").write_text('listen = "127.0.0.1:8001"\n')
    for name in (*PUBLISHER_KEYS, "signer.json", "log.key.pem"):
        (first.data / "keys" / name).write_text(name)
    second.furnish_like(first)
    assert (second.data / "weightgate.toml").read_text() == 'listen = "127.0.0.1:8002"\n'
    keys = sorted((second.data / "keys").iterdir())
    assert [key.name for key in keys] == ["log.key.pem", "signer.json"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_the_front_is_the_deployed_one_with_both_machines(tmp_path: Path) -> None:
    """Names, ports and paths are changed; no cookie and no address decides who answers."""
    front = Front(tmp_path, {name: number for number, name in enumerate(PORTS, start=1001)})
    front._configure([Machine(tmp_path, port, tmp_path) for port in (8001, 8002)])
    text = (tmp_path / "conf.nginx.conf").read_text()
    assert [line.split()[1] for line in text.splitlines() if "max_fails" in line] == [
        "127.0.0.1:8001",
        "127.0.0.1:8002",
    ]
    assert "proxy_next_upstream off" in text
    assert not [word for word in ("ip_hash", "sticky", "hash ", "example.org", "/etc/letsencrypt") if word in text]


@pytest.mark.fault
def test_load_with_kills_and_revokes_breaks_no_promise(cluster: Cluster) -> None:
    """Half a minute of what `make load` does for an hour, with every check of it."""
    said: list[str] = []
    report = load.run(cluster, load.SHORT, said.append)
    print(load.text(report))
    assert report["faults"] == []
    assert set(report["kills"]) == {"web worker of machine 1", "web worker of machine 2", "log worker"}
    assert min(one["revokes"] for one in report["revokes"].values()) > 0
    assert min(one["refused_after"] for one in report["revokes"].values()) > 0
    assert report["s3_files"] > 0
    assert report["urls_of_downloads"] > 100


@pytest.mark.fault
def test_nothing_depends_on_which_machine_answers(cluster: Cluster) -> None:
    """The smoke test of `make cluster`, each step of it."""
    said: list[str] = []
    smoke.run(cluster, said.append)
    assert len(said) == len(smoke.STEPS)
    assert cluster.stopped() == []
