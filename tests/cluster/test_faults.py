"""Faults on the whole cluster, seen by clients through nginx: everything killed, the database away, the store frozen.

Each run ends with the same questions: has every URL its entry, is every receipt proven, does the log verify.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.cluster import checks, load_clients
from tests.cluster.cluster import Cluster
from tests.cluster.ledger import Ledger
from tests.cluster.load_clients import crowd
from tests.cluster.processes import workers
from tests.cluster.publishing import publish
from tests.faults.commits import Fault, Switch
from tests.faults.proxy import Proxy
from tests.faults.test_database_down import frozen
from tests.stores import process_ids

CLIENTS = 8
SECONDS, PROVEN_AT_MOST = 25, 500
ANSWER_SECONDS = 8  # 5 s are measured where nothing stands between: tests/faults/test_database_down.py
RECOVERY_SECONDS = 30
ORDER = {"stage": "gpt-2/774M", "paths": ["hparams.json"]}

pytestmark = pytest.mark.fault


@pytest.fixture
def ledger(cluster: Cluster) -> Iterator[Ledger]:
    """What a test's clients saw; when it ends, all of it must be true."""
    made = Ledger()
    yield made
    proven = checks.settle(cluster, made, PROVEN_AT_MOST)
    statuses = {f"{kind} {status}": count for (kind, status), count in sorted(made.statuses.items())}
    print(f"{statuses}, {len(made.kills)} kills, {len(made.downloads)} downloads held, {proven} receipts proven")
    assert made.faults == []
    assert cluster.stopped() == []


def issue(cluster: Cluster) -> Any:
    asker = load_clients.asking(cluster, Ledger(), "cleared")
    headers = {"Authorization": f"Bearer {asker.token}"}
    return asker.session.post(f"{cluster.front.url}/api/v1/downloads", json=ORDER, headers=headers, timeout=60)


def until_issued(cluster: Cluster) -> float:
    """Ask until there are URLs; returns the seconds that it took."""
    began = time.monotonic()
    while issue(cluster).status_code != 201:
        assert time.monotonic() < began + RECOVERY_SECONDS
        time.sleep(0.2)
    return time.monotonic() - began


def test_everything_is_killed_at_random(cluster: Cluster, ledger: Ledger) -> None:
    """F1: web workers of both machines, both log workers and PostgreSQL die under eight clients through nginx."""
    chance, ending = random.Random(1), time.monotonic() + SECONDS  # noqa: S311  # no secret
    kinds = ["postgresql", "log worker", "web worker"]  # from the last on, each at least once
    with crowd(cluster, ledger, CLIENTS, 3):
        while time.monotonic() < ending or kinds:
            time.sleep(chance.uniform(0.3, 1.2))
            for machine in cluster.machines:  # as systemd does
                if machine.processes["worker"].poll() is not None:
                    machine.start("worker")
            what = kinds.pop() if kinds else chance.choices(["web worker", "log worker", "postgresql"], [5, 2, 1])[0]
            machine = chance.choice(cluster.machines)
            if what == "web worker":
                if (living := workers(machine)) != []:
                    os.kill(chance.choice(living), signal.SIGKILL)
            elif what == "log worker":
                machine.kill("worker")
                machine.start("worker")
            else:
                cluster.postgres.kill()
                cluster.postgres.start_again()
            ledger.killed(what)
        revive(cluster)
        until_issued(cluster)


def revive(cluster: Cluster) -> None:
    """Start what has ended because the database was away when it started; what is only starting may still end."""
    deadline, calm_looks = time.monotonic() + RECOVERY_SECONDS, 0
    while calm_looks < 3 and time.monotonic() < deadline:
        calm_looks = 0 if cluster.stopped() else calm_looks + 1
        for machine in cluster.machines:
            for service, process in list(machine.processes.items()):
                if process.poll() is not None:
                    machine.start(service)
        time.sleep(3)


@contextlib.contextmanager
def stopped(cluster: Cluster) -> Iterator[None]:
    cluster.postgres.kill()
    try:
        yield
    finally:
        cluster.postgres.start_again()


@contextlib.contextmanager
def standing_still(cluster: Cluster) -> Iterator[None]:
    with frozen(cluster.postgres):
        yield


@contextlib.contextmanager
def read_only(cluster: Cluster) -> Iterator[None]:
    """As a primary that has become a replica: whatever is written is refused."""
    run = cluster.postgres.run
    run("ALTER SYSTEM SET default_transaction_read_only = on")
    run("SELECT pg_reload_conf()")
    time.sleep(1)  # each session reads it before its next statement
    try:
        yield
    finally:
        run("ALTER SYSTEM RESET default_transaction_read_only")
        run("SELECT pg_reload_conf()")


@pytest.mark.parametrize("how", [stopped, standing_still, read_only], ids=lambda how: how.__name__)
def test_a_database_that_is_away_costs_503_and_no_url(
    cluster: Cluster, ledger: Ledger, how: Callable[[Cluster], contextlib.AbstractContextManager[None]]
) -> None:
    """F2: only 503 with Retry-After, soon and without a URL; it works again by itself."""
    until_issued(cluster)
    with crowd(cluster, ledger, CLIENTS, 2):
        time.sleep(2)
        with how(cluster):
            ledger.killed(how.__name__)
            slowest = 0.0
            for _ in range(6):
                began = time.monotonic()
                answer = issue(cluster)
                slowest = max(slowest, time.monotonic() - began)
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
                assert "X-Amz-" not in answer.text
        revive(cluster)
        print(f"{how.__name__}: 503 within {slowest:.1f} s, back after {until_issued(cluster):.1f} s")
        assert slowest < ANSWER_SECONDS


def test_a_commit_whose_answer_is_lost_has_no_url(cluster: Cluster, ledger: Ledger) -> None:
    """F2: the connection breaks after COMMIT was sent: the entry is there, the client gets 503 and no URL."""
    switch, port = Switch(), make_url(cluster.database_url("web")).port
    assert port is not None
    with Proxy(port, switch.verdict) as proxy:
        behind = make_url(cluster.database_url("web")).set(port=proxy.port).render_as_string(hide_password=False)
        restart_web(cluster, WEIGHTGATE_DATABASE_URL=behind)
        try:
            with crowd(cluster, ledger, CLIENTS, 2):
                for fault in (Fault.NONE, Fault.STORED, Fault.NOT_STORED, Fault.NONE):
                    switch.fault = fault
                    if fault is not Fault.NONE:
                        before = checks.entries(cluster)
                        assert {issue(cluster).status_code for _ in range(5)} == {503}
                        grown = checks.entries(cluster) - before
                        assert grown >= 5 if fault is Fault.STORED else True
                    time.sleep(2)
                until_issued(cluster)
        finally:
            switch.fault = Fault.NONE
            restart_web(cluster)


def restart_web(cluster: Cluster, **more: str) -> None:
    for machine in cluster.machines:
        machine.stop("web")
        machine.start("web", **more)
    cluster.wait_until_ready()


def test_issuing_needs_no_store(cluster: Cluster, ledger: Ledger) -> None:
    """F4: the store stands still: downloads are issued, publishing fails and leaves nothing half; then both work."""
    before = newest(cluster)
    for group in process_ids(cluster.store):
        os.killpg(group, signal.SIGSTOP)
    try:
        with crowd(cluster, ledger, 4, 3):
            time.sleep(5)
        assert ledger.statuses["issue, 1 file", 201] > 10
        assert ledger.statuses["issue, 1 file", 503] == 0
    finally:
        for group in process_ids(cluster.store):
            os.killpg(group, signal.SIGCONT)
    assert newest(cluster) == before
    for group in process_ids(cluster.store)[1:]:  # the proxy alone: SeaweedFS cannot be asked past it
        os.killpg(group, signal.SIGSTOP)
    try:
        publisher = cluster.known["people"]["publisher"]
        source = cluster.known["sources"]["mini-gpt/base"]
        started = time.monotonic()
        done = cluster.machines[0].run(
            "publish", source, "mini-gpt/base", "--as", publisher["email"], WEIGHTGATE_PASSWORD=publisher["password"],
            AWS_MAX_ATTEMPTS="1",
        )  # fmt: skip
        print(f"publishing failed after {time.monotonic() - started:.0f} s: {done.stderr.strip()[-200:]}")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
    finally:
        for group in process_ids(cluster.store)[1:]:
            os.killpg(group, signal.SIGCONT)
    assert newest(cluster) == before
    until_issued(cluster)
    publish(cluster)
    assert newest(cluster) != before


def newest(cluster: Cluster) -> str:
    asker = load_clients.asking(cluster, Ledger(), "cleared")
    answer = asker.ask("main", "GET", "/api/v1/stages/mini-gpt/base/checkpoints/main")
    assert answer is not None
    return str(answer.json()["id"])
