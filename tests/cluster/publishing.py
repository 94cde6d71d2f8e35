"""Publishing on the cluster as people do it: by the publisher on one machine, approved by an admin on the other."""

import hashlib
import json
import secrets
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.cluster import Cluster
from tests.cluster.machines import Machine

STAGE = "mini-gpt/base"
README = "README.md"
NOTES = tuple(f"notes/{number:03}.json" for number in range(100))  # what makes a checkpoint of many files


def publish(cluster: Cluster, *, notes: bool = False) -> str:
    """Publish a new checkpoint of STAGE; returns the SHA-256 of its README, which no other checkpoint has."""
    publisher = cluster.known["people"]["publisher"]
    first, second = cluster.machines
    with TemporaryDirectory() as folder:
        source = Path(shutil.copytree(cluster.known["sources"][STAGE], Path(folder) / "new"))
        (source / README).write_text(f"Published on a cluster, {secrets.token_hex(8)}.\n")
        digest = hashlib.sha256((source / README).read_bytes()).hexdigest()
        if notes:
            (source / "notes").mkdir()
            for name in NOTES:
                (source / name).write_text(json.dumps({"note": name}))
        waiting = as_person(cluster, first, "publisher", "publish", str(source), STAGE)["proposal"]
    assert publisher["email"] != cluster.known["people"]["admin2"]["email"]
    as_person(cluster, second, "admin2", "proposal", "approve", str(waiting))
    return digest


def as_person(cluster: Cluster, machine: Machine, name: str, *arguments: str) -> dict[str, object]:
    """Give a command on a machine as somebody of the worked example; returns what it says as JSON."""
    person = cluster.known["people"][name]
    done = machine.run(*arguments, "--as", person["email"], "--json", WEIGHTGATE_PASSWORD=person["password"])
    assert done.returncode == 0, f"{' '.join(arguments[:2])}: {done.stderr}"
    said: dict[str, object] = json.loads(done.stdout)
    return said
