"""`metrics`: a listener of its own, whose sums are right however many processes count and die."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from server.cli import instance
from server.cli import metrics as metrics_server
from server.cli.processes import Processes
from server.domain import meters
from server.domain.identity.organizations import Organization
from server.log import entries as log_entries
from server.settings import Settings
from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from tests import parts
from tests.cli.operator import Operator
from tests.cli.started import Started, answers
from tests.e2e.serving import Served, served
from tests.world import World, copied_world

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
ORDER = {"stage": "gpt-2/774M"}
ISSUED = 'weightgate_downloads_issued_total{door="api"}'
REQUESTS = 'weightgate_request_seconds_count{route="downloads.create",status="2xx"}'


@dataclass
class Watched:
    """A world that is served, and its metrics."""

    world: World
    web: Served
    metrics: Started
    port: int

    def ask(self, path: str, accept: str = "") -> tuple[int, str, str]:
        """Return status, content type and text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
        finally:
            connection.close()

    def samples(self) -> dict[str, float]:
        """Every sample, under its name and labels as Prometheus writes them."""
        lines = self.ask("/metrics")[2].splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def until(self, name: str, value: float) -> None:
        """Wait for a sample: processes write what they count once a second."""
        self.metrics.until(lambda: self.samples().get(name) == value)

    def order(self, times: int) -> None:
        self.world.keep_sealed()
        for _ in range(times):
            status, _ = self.web.ask("POST", "/api/v1/downloads", self.world.example.tokens["cleared"], ORDER)
            assert status == 201


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from copied_world(request, tmp_path_factory.mktemp("watched"), "sqlite")


@pytest.fixture(scope="module")
def watched(made: World) -> Iterator[Watched]:
    """One for all: it takes seconds to start. Each test looks at what it adds itself."""
    port = free_port()
    with served(made, metrics_listen=f"127.0.0.1:{port}", access_lines=True, logger_level="info") as web:
        metrics = Started(made.folder, "metrics")
        try:
            metrics.until(lambda: answers(port))
            yield Watched(made, web, metrics, port)
        finally:
            metrics.kill()


def test_the_sums_of_all_processes_are_right_whatever_dies(watched: Watched) -> None:
    """Two web processes count; one is killed and another takes its place: nothing is lost, nothing counted twice."""
    watched.order(7)
    watched.until(ISSUED, 7)
    watched.until(REQUESTS, 7)
    assert watched.samples()['weightgate_processes{kind="web"}'] == 2
    killed = watched.web.workers()[0]
    os.kill(killed, signal.SIGKILL)
    watched.metrics.until(lambda: killed not in watched.web.workers() and len(watched.web.workers()) == 2)
    watched.order(5)
    watched.until(ISSUED, 12)
    watched.until('weightgate_processes{kind="web"}', 2)
    assert watched.samples()[REQUESTS] == 12


def test_it_says_nothing_of_what_only_some_may_know(watched: Watched) -> None:
    """Neither partners nor people, tokens, files or stages; and nothing but its two addresses is answered."""
    before = watched.samples().get(ISSUED, 0)
    watched.order(1)
    watched.web.ask("GET", "/api/v1/stages/gpt-2/1558M", watched.world.example.tokens["cleared"])
    watched.web.ask("GET", "/wgk_0123456789ab_secret/gpt-2/1558M", None)
    watched.until(ISSUED, before + 1)
    status, content_type, text = watched.ask("/metrics")
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    emails = [person["email"] for person in watched.world.example.people.values()]
    with watched.world.use.database.reading() as session:
        slugs = session.scalars(select(Organization.slug)).all()
    _, health_type, health = watched.ask("/health")
    names = {*emails, *slugs, *watched.world.example.tokens.values(), "gpt-2", "1558M", "wgk_"}
    assert {name for name in names if name in text + health} == set()
    assert health_type == "application/json"
    assert watched.ask("/")[0] == watched.ask("/metrics/x")[0] == 404
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation.endswith(".") for family in families)
    accept = "application/openmetrics-text; version=1.0.0"
    assert watched.ask("/metrics", accept)[1].startswith("application/openmetrics-text")


def test_all_messages_of_the_web_server_are_lines_of_one_form(watched: Watched) -> None:
    """gunicorn's, the program's and those about requests: JSON on one stream, with what each line needs."""
    watched.order(1)
    lines = [json.loads(line) for line in (watched.world.folder / "web.log").read_text().splitlines()]
    assert {line["logger"] for line in lines} >= {"gunicorn.error", "server.access"}
    assert all({"event", "level", "logger", "timestamp"} <= set(line) for line in lines)
    assert [line["status"] for line in lines if line.get("route") == "/api/v1/downloads"][-1] == 201


def test_health_tells_each_part_and_is_503_when_one_is_not_well(watched: Watched) -> None:
    """The worker does not run here: that part says so, and what to do."""
    status, _, text = watched.ask("/health")
    body = json.loads(text)
    worker = next(part for part in body["parts"] if part["part"] == "worker")
    assert (status, body["ok"], worker["ok"]) == (503, False, False)
    assert set(worker) == {"part", "ok", "says", "since", "what_to_do"}


def test_without_its_setting_it_is_told_of(operator: Operator) -> None:
    """Which setting is missing, in one line."""
    assert "Set metrics_listen in its settings" in operator("metrics", code=1).line


@pytest.mark.parametrize(("listen", "names"), [(None, ["worker"]), ("127.0.0.1:9464", ["worker", "metrics"])])
def test_serve_runs_it_where_the_settings_want_it(tmp_path: Path, listen: str | None, names: list[str]) -> None:
    """And starts it again when it dies, as it does the worker."""
    made = Settings(
        folder=tmp_path, public_url="http://localhost:1", contact="help@lab.example", s3_bucket="weights",
        log_host="localhost", metrics_listen=listen,
    )  # fmt: skip
    assert Processes(made)._restarted == names


def test_counting_costs_a_download_next_to_nothing(tmp_path: Path) -> None:
    """Well under what a commit takes: ten additions of one request, thousands of times a second."""
    counting = meters.ProcessMeters(tmp_path / "metrics", "web")
    began = time.process_time()
    for _ in range(1000):
        counting.issued("api", [1, 2, 3])
        counting.observe(meters.REQUESTS, 0.01, "downloads.create", "2xx")
    assert time.process_time() - began < 0.5  # a hundred times what it takes here
    counting.close()


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A real one that scrapes this target once a second, with our rules; yields its address."""
    if parts.PROMETHEUS is None:
        parts.missing("prometheus")
    config = (MONITORING / "prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace("127.0.0.1:9464", target)
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(MONITORING / "alerts.yml", folder / "weightgate-alerts.yml")
    port = free_port()
    with (folder / "prometheus.log").open("wb") as messages:
        process = subprocess.Popen(
            [parts.PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=messages, stderr=messages, preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_real_prometheus_scrapes_it_and_raises_an_alarm(watched: Watched, tmp_path: Path) -> None:
    """Its target is up, its rules are loaded, and while no worker seals and beats, those two alarms fire."""
    watched.world.tampered = True  # no clock was ever so slow
    with watched.world.use.database.transaction() as session:
        log_entries.append(session, kind="heartbeat", at=watched.world.clock() - timedelta(seconds=200), record={})
    with prometheus(tmp_path, f"127.0.0.1:{watched.port}") as address:

        def asked(path: str) -> list[dict[str, Any]]:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/api/v1/{path}") as answer:
                data = json.load(answer)["data"]
                return next(iter(data.values())) if path != "query?query=ALERTS" else data["result"]
            return []

        def firing() -> set[str]:
            found = [one["metric"] for one in asked("query?query=ALERTS")]
            return {metric["alertname"] for metric in found if metric["alertstate"] == "firing"}

        watched.metrics.until(lambda: firing() >= {"WeightgateWorkerAway", "WeightgateLogNotSealed"})
        assert [target["health"] for target in asked("targets")] == ["up"]
        assert len(asked("rules")[0]["rules"]) > 20
    watched.world.seal()


def test_it_answers_while_the_web_is_stuck_and_gone_and_ends_when_asked(watched: Watched) -> None:
    """Frozen web processes delay no metric; those that ended no longer count as running. SIGTERM ends it."""
    workers = [watched.web.process.pid, *watched.web.workers()]
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert watched.samples()["weightgate_ready"] == 1
        assert time.monotonic() - began < 5
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
    watched.web.process.send_signal(signal.SIGTERM)
    watched.web.process.wait(30)
    watched.until('weightgate_processes{kind="web"}', 0)
    watched.metrics.process.send_signal(signal.SIGTERM)
    assert watched.metrics.process.wait(20) == 0


def test_it_starts_while_the_database_is_away(tmp_path: Path) -> None:
    """It says so, instead of being away as well."""
    port, folder = free_port(), tmp_path / "instance"
    values = {
        "public_url": "http://localhost:1", "contact": "help@lab.example", "s3_bucket": "weights",
        "log_host": "localhost", "database_url": "postgresql+psycopg://app:hush@127.0.0.1:1/gone",
        "metrics_listen": f"127.0.0.1:{port}", "s3_endpoint_url": "http://127.0.0.1:1",
    }  # fmt: skip
    instance.write_settings(folder, values)
    metrics = Started(folder, "metrics")
    try:
        metrics.until(lambda: answers(port))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics")
        assert "\nweightgate_database_up 0.0\n" in connection.getresponse().read().decode()
        connection.close()
    finally:
        metrics.kill()
    assert "hush" not in metrics.out + metrics.err


def test_who_opens_many_connections_ties_up_no_more_than_so_many_threads(sqlite_world: World) -> None:
    """The next one is closed at once, and is served again when one of them has gone."""
    watch = metrics_server.Watch(sqlite_world.use)
    watch.look()
    port = free_port()
    server = metrics_server.listening(watch, f"127.0.0.1:{port}")
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()

    def ask() -> bytes:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            return one.recv(20)
        return b""

    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(metrics_server.CONNECTIONS_AT_MOST)]
    try:
        assert ask() == b""
        for one in held:
            one.close()
        deadline = time.monotonic() + 20
        while not ask().startswith(b"HTTP/1.0 "):
            assert time.monotonic() < deadline
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
