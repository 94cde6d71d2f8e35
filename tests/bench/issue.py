"""How fast downloads are issued over HTTP, entry durable first, against a Flask hello-world on the same settings.

Run: python -m tests.bench.issue [--seconds N] [--database postgresql]. Needs wrk, and installs it where it can.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import func, select

from server.cli import worked_example
from server.domain.identity import people
from server.domain.publish import publishing
from server.domain.release import stages
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.log.entries import LogEntry
from server.storage import signing_check
from server.storage.embedded import EmbeddedStore, free_port
from tests import postgres, prepare
from tests.bench import giftless, measure
from tests.bench.giftless import AS_SHIPPED, WITHOUT_HEAD
from tests.templates import Template, build_template

HERE = Path(__file__).parent
CONNECTIONS = 16
FILES = (1, 100, 1000)
STAGE, BUCKET = "gpt-2/bench", "weights"
FLOOR = "Flask hello"
PROCESSES = ("web", "worker", "database")
# What is aimed at: CPU for a request of one file, its p99 beside the floor's, and rates beside giftless' by files.
CPU_MS, P99_AGAINST_HELLO = {"sqlite": 0.9, "postgresql": 1.5}, 2
TIMES_GIFTLESS: dict[str, dict[str, dict[int, float]]] = {
    "sqlite": {AS_SHIPPED: {1: 4, 100: 200}, WITHOUT_HEAD: {1: 1.2, 100: 15}},
    "postgresql": {AS_SHIPPED: {1: 4, 100: 200}, WITHOUT_HEAD: {1: 1, 100: 10}},
}


@dataclass
class Served:
    """A gunicorn of ours or the floor's, on a port of its own; ours with whatever else works for its requests.

    processes: by what they are, the first of each: the worker seals what is logged, the database has its backends.
    """

    port: int
    processes: dict[str, int]

    def cpu_seconds(self) -> dict[str, float]:
        """Of each with all that it has started, up to now."""
        return {what: measure.tree_seconds(leader) for what, leader in self.processes.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=measure.ROUND_SECONDS, help="of each turn")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    options = parser.parse_args()
    try:
        prepare.wrk()
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"MISSING PART: wrk: {error}", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), BUCKET))
        url = f"sqlite:///{folder}/weightgate.sqlite3"
        database = None
        if options.database == "postgresql":
            database = stack.enter_context(postgres.started())
            url = database.create("bench")
        template = build_template(options.database, folder, url, store)
        publish(template, folder)
        ours = stack.enter_context(served(folder, "server.wsgi:app"))
        ours.processes["worker"] = stack.enter_context(sealing(folder))
        if database is not None:
            ours.processes["database"] = database.process.pid
        hello = stack.enter_context(served(folder, "tests.bench.hello:app"))
        cases = _cases(template, ours, hello, folder)
        if database is not None:
            another = stack.enter_context(served(folder, "server.wsgi:app"))
            token = template.example.tokens["cleared"]
            cases.append(_case("ours by two instances, 1 files", [ours, another], token, folder / "body-1.json"))
        cases += _peers(stack, store, folder)
        outcomes = measure.interleave(cases, rounds=options.rounds, seconds=options.seconds, between=_drain)
        own = [outcome for name, outcome in outcomes.items() if name.startswith("ours")]
        answered = sum(sum(turn.figures["requests"] for turn in outcome.turns) for outcome in own)
        faults = _check(template, ours, answered)
        report = _report(outcomes, options.database, faults)
    print(report)
    measure.write_section(f"issue, {options.database}", report)
    return 1 if faults else 0


@contextmanager
def served(folder: Path, app: str) -> Iterator[Served]:
    port = free_port()
    environment = {**os.environ, "WEIGHTGATE_DATA": str(folder), "WEIGHTGATE_LISTEN": f"127.0.0.1:{port}"}
    config = HERE.parents[1] / "config" / "gunicorn.conf.py"
    process = subprocess.Popen([sys.executable, "-m", "gunicorn", "-c", str(config), app], env=environment)
    try:
        deadline = time.monotonic() + 60
        while True:
            workers = psutil.Process(process.pid).children()
            ours = {process.pid, *(worker.pid for worker in workers)}
            listeners = {c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port}
            if len(workers) >= 2 and listeners & ours:  # the listener is our own
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{app} did not start")
            time.sleep(0.1)
        time.sleep(2)
        yield Served(port, {"web": process.pid})
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def sealing(folder: Path) -> Iterator[int]:
    """The worker, by its process's id: without it nothing would be issued after half a minute."""
    process = subprocess.Popen([sys.executable, "-m", "server", "--data", str(folder), "worker"])
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def publish(template: Template, folder: Path) -> None:
    """A stage with a checkpoint of 1,000 small files, open to the cleared partner."""
    use = Resources(template.settings)
    callers = {
        name: people.sign_in_for_command(
            use, template.example.people[name]["email"], template.example.people[name]["password"]
        )
        for name in ("admin", "admin2", "publisher")
    }
    source = folder / "thousand"
    source.mkdir()
    for number in range(max(FILES)):
        (source / f"shard-{number:05}.json").write_text(json.dumps({"shard": number}))
    stages.add(use, callers["admin"], STAGE, tier="research", agreement=worked_example.AGREEMENT)
    publishing.publish(use, callers["publisher"], source, STAGE)
    worked_example.move(use, callers["admin"], callers["admin2"], STAGE, StageState.PARTNERS, "For the bench.")
    use.close()


def _cases(template: Template, ours: Served, hello: Served, folder: Path) -> list[measure.Case]:
    token = template.example.tokens["cleared"]
    cases = []
    for files in FILES:
        body = folder / f"body-{files}.json"
        paths = [f"shard-{number:05}.json" for number in range(files)]
        body.write_text(json.dumps({"stage": STAGE} | ({"paths": paths} if files < max(FILES) else {})))
        cases.append(_case(f"ours, {files} files", [ours], token, body))
    cases.insert(0, _case(FLOOR, [hello], token, folder / "body-1.json"))
    return cases


def _peers(stack: ExitStack, store: EmbeddedStore, folder: Path) -> Iterator[measure.Case]:
    """giftless, as shipped and as it is fastest. A thousand files as shipped would not end within a round."""
    giftless.fill(store, BUCKET)
    for name, head, counts in ((AS_SHIPPED, True, FILES[:2]), (WITHOUT_HEAD, False, FILES)):
        port, process = stack.enter_context(giftless.serving(folder, store, BUCKET, head=head))
        for files in counts:
            body = folder / f"giftless-{files}.json"
            body.write_text(giftless.body(files))
            yield _case(
                f"{name}, {files} files", [Served(port, {"web": process.pid})], "none", body,
                url=giftless.address(port), media_type=giftless.MEDIA_TYPE,
            )  # fmt: skip


def _case(
    name: str, served: Sequence[Served], token: str, body: Path, *,
    url: str | None = None, media_type: str = "application/json",
) -> measure.Case:  # fmt: skip
    """Servers that share the connections, each by a load of its own."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS // len(served)}", "--timeout", "60s", "-s", str(HERE / "issue.lua")]
    urls = [url or f"http://127.0.0.1:{each.port}/api/v1/downloads" for each in served]

    def turn(seconds: float) -> measure.Turn:
        before = _cpu_seconds(served)
        limits = [f"-d{max(1, round(seconds))}s"]
        loads = [
            subprocess.Popen([*command, *limits, each, "--", token, str(body), media_type], stdout=subprocess.PIPE)
            for each in urls
        ]
        results = [_result(load) for load in loads]
        if errors := sum(result["errors"] for result in results):
            raise RuntimeError(f"{name}: {errors} answers were not 2xx")
        used = {what: now - before[what] for what, now in _cpu_seconds(served).items()}
        requests = sum(result["requests"] for result in results)
        figures = {"requests": requests} | {
            percentile: max(result[percentile] for result in results) for percentile in ("p50_ms", "p99_ms")
        }
        figures |= {what: used.get(what, 0.0) / max(1, requests) * 1000 for what in PROCESSES}
        figures["cpu_ms"] = sum(figures[what] for what in PROCESSES)
        rate = sum(result["requests"] / result["seconds"] for result in results)
        return measure.Turn(rate, sum(used.values()), figures)

    return measure.Case(name, turn)


def _cpu_seconds(served: Sequence[Served]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in served:
        for what, seconds in each.cpu_seconds().items():
            total[what] = total.get(what, 0.0) + seconds
    return total


def _result(load: "subprocess.Popen[bytes]") -> dict[str, float]:
    told, _ = load.communicate()
    if load.returncode != 0:
        raise RuntimeError(f"wrk ended with {load.returncode}")
    line = next(line for line in told.decode().splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


def _drain() -> None:
    time.sleep(0.5)


def _check(template: Template, ours: Served, answered: float) -> list[str]:
    """What must hold in the same run: every answer has its entry, URLs are botocore's, the real store takes one."""
    faults = []
    body = json.dumps({"stage": STAGE, "paths": ["shard-00007.json"]}).encode()
    token = template.example.tokens["cleared"]
    request = urllib.request.Request(
        f"http://127.0.0.1:{ours.port}/api/v1/downloads",
        data=body,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        issued = json.load(response)
    url = issued["files"][0]["url"]
    use = Resources(template.settings)
    try:
        _ = use.signer  # held against botocore's as it opens
    except signing_check.SigningMismatch as error:
        faults.append(str(error))
    with urllib.request.urlopen(url) as response:
        if response.read() != json.dumps({"shard": 7}).encode():
            faults.append("the store gave other bytes")
    with use.database.reading() as session:
        entries = session.scalar(select(func.count()).where(LogEntry.kind == "download")) or 0
    use.close()
    if entries < answered + 1:
        faults.append(f"{answered + 1} answers, but {entries} entries")
    return faults


def _report(outcomes: dict[str, measure.Outcome], database: str, faults: list[str]) -> str:
    hello = outcomes[FLOOR]
    own = [outcome for name, outcome in outcomes.items() if name.startswith("ours")]
    rows = []
    for name, outcome in outcomes.items():
        files = 0 if outcome is hello else int(name.split()[-2])
        rows.append(
            (
                name,
                f"{outcome.rate:,.0f}",
                f"{outcome.figure('p50_ms'):.1f} / {outcome.figure('p99_ms'):.1f}",
                f"{outcome.figure('cpu_ms'):.2f}",
                " / ".join(f"{outcome.figure(what):.2f}" for what in PROCESSES) if outcome in own else "–",
                f"{outcome.times(hello):.3f}",
                f"{outcome.rate * files:,.0f}" if files else "–",
            )
        )
    targets = list(_targets(outcomes, database))
    columns = ("case", "req/s", "p50 / p99 ms", "CPU ms a request", f"of {' / '.join(PROCESSES)}", "× hello", "URLs/s")
    return "\n\n".join(
        [
            measure.header(("flask", "gunicorn", "sqlalchemy", "apiflask")),
            measure.table(columns, rows),
            "\n".join(f"- {text}: {'met' if met else 'NOT met'}" for text, met in targets),
            f"Checked in the run: {'; '.join(faults) or 'an entry for every answer, URLs as botocore'}.",
            measure.noise(list(outcomes.values())),
        ]
    )


def _targets(outcomes: dict[str, measure.Outcome], database: str) -> Iterator[tuple[str, bool]]:
    hello, one = outcomes[FLOOR], outcomes["ours, 1 files"]
    cpu_ms, p99 = one.figure("cpu_ms"), one.figure("p99_ms") / hello.figure("p99_ms")
    yield f"1 file, CPU ≤ {CPU_MS[database]} ms a request (is {cpu_ms:.2f})", cpu_ms <= CPU_MS[database]
    yield f"1 file, p99 ≤ {P99_AGAINST_HELLO} × hello's (is {p99:.2f})", p99 <= P99_AGAINST_HELLO
    for peer, wanted in TIMES_GIFTLESS[database].items():
        for files, times in wanted.items():
            theirs, ours = outcomes[f"{peer}, {files} files"].rate, outcomes[f"ours, {files} files"].rate
            told = f"is {ours / theirs:,.1f}" if theirs else "none of its requests ended within a round"
            yield f"{files} files ≥ {times} × {peer} ({told})", ours >= times * theirs


if __name__ == "__main__":
    sys.exit(main())
