"""`make cluster`: run the cluster and its smoke test, and stay until Ctrl-C. Run: python -m tests.cluster --help."""

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

from tests import prepare
from tests.cluster import smoke
from tests.cluster.cluster import Cluster

TEXT = """
Weightgate runs on two machines at {url}
  people, passwords, one-time secrets and tokens: {folder}/cluster.json
  the CA to trust: {ca}
  machine 1: {first}   machine 2: {second}   PostgreSQL: port {postgresql}   Redis: port {redis}

  curl --cacert {ca} {url}/readyz
  .venv/bin/weightgate-server --data {first_data} doctor      (with AWS_CA_BUNDLE={ca})

Press Ctrl-C to stop everything. Run the same command to continue with the same data."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="Run a cluster on this machine.")
    parser.add_argument("--data", default="var/cluster", type=Path, help="its folder [var/cluster]")
    parser.add_argument("--port", type=int, help="of https [a free one, or last time's]")
    parser.add_argument("--smoke", action="store_true", help="end after the smoke test: exit code 0 if all is well")
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        prepare.redis()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return _run(given)
    except KeyboardInterrupt:
        return 0


def _run(given: argparse.Namespace) -> int:
    with Cluster(given.data, shutil.which("redis-server") or "redis-server", given.port) as cluster:
        print("Both machines are ready. The smoke test, through nginx:", flush=True)
        try:
            smoke.run(cluster, lambda line: print(f"  {line}", flush=True))
        except AssertionError as fault:
            print(f"FAULT: {fault}", file=sys.stderr, flush=True)
            return 1
        if given.smoke:
            return 0
        print(_text(cluster), flush=True)
        _watch(cluster)
    return 0


def _text(cluster: Cluster) -> str:
    first, second = cluster.machines
    ports = cluster.known["ports"]
    return TEXT.format(
        url=cluster.front.url, folder=cluster.folder, ca=cluster.front.authorities, first=first.address,
        second=second.address, first_data=first.data, postgresql=ports["postgresql"], redis=ports["redis"],
    )  # fmt: skip


def _watch(cluster: Cluster) -> None:
    told: set[str] = set()
    while True:
        for what in set(cluster.stopped()) - told:
            print(f"{what} has ended", file=sys.stderr, flush=True)
            told.add(what)
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
