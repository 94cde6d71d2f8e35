"""What one file costs by the hub's door next to `POST /downloads`, and a whole `hf download` of 200 small files.

Run: python -m tests.bench.hub [--rounds N] [--seconds N]. Needs the environments of `python -m tests.prepare`.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import ColumnElement, func, select

from server.cli import worked_example
from server.domain.identity import people
from server.domain.publish import publishing
from server.domain.release import stages
from server.domain.release.stages import StageState
from server.domain.resources import Resources
from server.log.entries import LogEntry
from server.storage.embedded import EmbeddedStore, free_port
from tests import parts
from tests.bench import measure
from tests.bench.issue import Served, sealing, served
from tests.faults.proxy import Proxy, Verdict
from tests.templates import Template, build_template

CONNECTIONS = 4
FILES = 200
STAGE = "gpt-2/many"
PATH = "part-00007.json"
RESOLVE = f"/{STAGE}/resolve/main/{PATH}"
BODY = json.dumps({"stage": STAGE, "paths": [PATH]})
API = "POST /downloads, 1 file"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=measure.ROUND_SECONDS, help="of each turn")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), "weights"))
        template = build_template("sqlite", folder, f"sqlite:///{folder}/weightgate.sqlite3", store)
        publish(template, folder)
        ours = stack.enter_context(served(folder, "server.wsgi:app"))
        ours.processes["worker"] = stack.enter_context(sealing(folder))
        wait_until_sealed(template)
        token = template.example.tokens["cleared"]
        cases = [
            case(API, ours, token, "POST", "/api/v1/downloads", 201),
            case("HEAD resolve", ours, token, "HEAD", RESOLVE, 200),
            case("GET resolve", ours, token, "GET", RESOLVE, 302),
        ]
        outcomes = measure.interleave(cases, rounds=options.rounds, seconds=options.seconds)
        wholes = [whole(template, ours, line, folder) for line in parts.HUB_LINES]
    report = rendered(outcomes, wholes)
    print(report)
    measure.write_section("hub, sqlite", report)
    return 0


def publish(template: Template, folder: Path) -> None:
    """A stage with a checkpoint of small files, open to the cleared partner."""
    use, example = Resources(template.settings), template.example.people
    admin, admin2, publisher = (
        people.sign_in_for_command(use, example[name]["email"], example[name]["password"])
        for name in ("admin", "admin2", "publisher")
    )
    source = folder / "many"
    source.mkdir()
    for number in range(FILES):
        (source / f"part-{number:05}.json").write_text(json.dumps({"part": number}))
    stages.add(use, admin, STAGE, tier="research", agreement=worked_example.AGREEMENT)
    publishing.publish(use, publisher, source, STAGE)
    worked_example.move(use, admin, admin2, STAGE, StageState.PARTNERS, "For the bench.")
    use.close()


def case(name: str, ours: Served, token: str, method: str, address: str, status: int) -> measure.Case:
    """One request over and over on a few connections."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(until: float) -> int:
        connection, count = http.client.HTTPConnection("127.0.0.1", ours.port, timeout=30), 0
        while time.perf_counter() < until:
            connection.request(method, address, BODY if method == "POST" else None, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status != status:
                raise RuntimeError(f"{name}: {answer.status}")
            count += 1
        connection.close()
        return count

    def turn(seconds: float) -> measure.Turn:
        before, driver, start = sum(ours.cpu_seconds().values()), time.process_time(), time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            count = sum(pool.map(ask, [start + seconds] * CONNECTIONS))
        elapsed, used = time.perf_counter() - start, sum(ours.cpu_seconds().values()) - before
        figures = {"cpu_ms": used / count * 1000}
        return measure.Turn(count / elapsed, used + time.process_time() - driver, figures)

    return measure.Case(name, turn)


def whole(template: Template, ours: Served, line: str, folder: Path) -> tuple[str, ...]:
    """`hf download` of the stage into an empty cache: requests, entries and seconds, and again with what it has."""
    asked: list[bytes] = []

    def judge(chunk: bytes) -> Verdict:
        asked.append(chunk)
        return Verdict.PASS

    figures = [f"hf {line}"]
    with Proxy(ours.port, judge) as proxy:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "HF_HOME": str(folder / f"cache-{line}"),
            "HF_ENDPOINT": f"http://127.0.0.1:{proxy.port}", "HF_TOKEN": template.example.tokens["cleared"],
        }  # fmt: skip
        for _ in range(2):
            asked.clear()
            before, start = entries(template), time.perf_counter()
            command = [str(parts.HUB_LINES[line] / "bin" / "hf"), "download", STAGE]
            subprocess.run(command, check=True, capture_output=True, env=environment)
            seconds = time.perf_counter() - start
            requests = len([chunk for chunk in asked if chunk.startswith((b"GET ", b"HEAD "))])
            figures += [str(requests), str(entries(template) - before), f"{seconds:.1f}"]
    return tuple(figures)


def wait_until_sealed(template: Template) -> None:
    """The worker has begun: a log that it let wait for half a minute would take no entries."""
    deadline = time.monotonic() + 60
    while entries(template, LogEntry.leaf_index.is_(None)):
        if time.monotonic() > deadline:
            raise RuntimeError("the worker seals nothing")
        time.sleep(0.5)


def entries(template: Template, *which: ColumnElement[bool]) -> int:
    """How many downloads are in the log; or other entries."""
    use = Resources(template.settings)
    with use.database.reading() as session:
        count = session.scalar(select(func.count()).where(*(which or [LogEntry.kind == "download"]))) or 0
    use.close()
    return count


def rendered(outcomes: dict[str, measure.Outcome], wholes: list[tuple[str, ...]]) -> str:
    floor = outcomes[API].figure("cpu_ms")
    rows = [
        (name, f"{one.rate:,.0f}", f"{one.figure('cpu_ms'):.2f}", f"{one.figure('cpu_ms') / floor:.2f}")
        for name, one in outcomes.items()
    ]
    again = ("requests again", "entries again", "seconds again")
    return "\n\n".join(
        [
            measure.header(("flask", "gunicorn", "sqlalchemy")),
            measure.table(("case", "req/s", "CPU ms a request", "× POST"), rows),
            f"A whole download of {FILES} small files into an empty cache, and again:",
            measure.table(("client", "requests", "entries", "seconds", *again), wholes),
            measure.noise(list(outcomes.values())),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
