"""The log write that fails, and the one that fails after it was stored: 503, and never a URL without an entry."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from server.domain.errors import Refused
from server.web import app as web
from tests.faults.commits import Fault, Switch, faulty
from tests.world import World

CLIENTS = 8
REQUESTS_EACH = 40
ORDER = {"stage": "gpt-2/774M", "paths": ["hparams.json", "vocab.bpe"]}
REFUSING = {
    "sqlite": ["CREATE TRIGGER full BEFORE INSERT ON log_entries BEGIN SELECT RAISE(ABORT, 'fault switch'); END"],
    "postgresql": [
        "CREATE FUNCTION full_log() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE SQLSTATE ''WG001''; END'",
        "CREATE TRIGGER full_log BEFORE INSERT ON log_entries FOR EACH ROW EXECUTE FUNCTION full_log()",
    ],
}
ACCEPTING = {
    "sqlite": ["DROP TRIGGER full"],
    "postgresql": ["DROP TRIGGER full_log ON log_entries", "DROP FUNCTION full_log"],
}


@pytest.fixture
def switch(world: World, tmp_path: Path) -> Iterator[Switch]:
    with faulty(world, tmp_path) as made:
        yield made


def require_unavailable(answer: Any) -> None:
    """The answer to a request that could not be logged: when to come back, and not one URL."""
    assert answer.status_code == 503
    assert answer.json["code"] == "log_unavailable"
    assert int(answer.headers["Retry-After"]) > 0
    assert "X-Amz-" not in answer.text


def run(world: World, statements: list[str]) -> None:
    with world.use.database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def test_a_log_that_takes_no_entry_stops_issuing(world: World) -> None:
    """No entry, no URL: 503, and everything the request had counted or changed is undone with it."""
    run(world, REFUSING[world.kind])
    before = len(world.entries())
    require_unavailable(world.api("POST", "/downloads", json=ORDER))
    assert world.signed_urls == []
    assert len(world.entries()) == before
    run(world, ACCEPTING[world.kind])
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201
    assert len(world.entries("download")) == 1


@pytest.mark.parametrize("fault", [Fault.NOT_STORED, Fault.STORED])
@pytest.mark.parametrize("before", [0, 1], ids=["everything is read", "by kept facts"])
def test_a_commit_that_does_not_come_back_leaves_no_url(
    world: World, switch: Switch, fault: Fault, before: int
) -> None:
    """Whether or not the entry was stored, a commit without an answer is a 503; an entry without a URL does no harm."""
    for _ in range(before):
        assert world.api("POST", "/downloads", json=ORDER).status_code == 201
    urls = list(world.signed_urls)
    switch.fault = fault
    require_unavailable(world.api("POST", "/downloads", json=ORDER))
    switch.fault = Fault.NONE
    assert world.signed_urls == urls
    stored, deadline = before + (1 if fault is Fault.STORED else 0), time.monotonic() + 10
    while len(world.entries("download")) < stored and time.monotonic() < deadline:
        time.sleep(0.01)  # the server has the COMMIT, and nobody waits for what it says
    assert len(world.entries("download")) == stored
    assert world.api("POST", "/downloads", json=ORDER).status_code == 201


def test_every_url_under_random_faults_has_its_entry(world: World, switch: Switch) -> None:
    """Eight clients while commits fail now and then, stored or not: every URL that anyone got has an entry."""
    app = web.create(world.use)
    held: list[str] = []
    statuses: list[int] = []
    flipping = threading.Event()

    def flip() -> None:
        chance = random.Random(20)  # noqa: S311  # no secret
        while not flipping.wait(0.002):
            switch.fault = chance.choice([Fault.NONE, Fault.NONE, Fault.NOT_STORED, Fault.STORED])

    def ask() -> None:
        client = app.test_client()
        headers = {"Authorization": f"Bearer {world.example.tokens['cleared']}"}
        for _ in range(REQUESTS_EACH):
            answer = client.post("/api/v1/downloads", json=ORDER, headers=headers)
            statuses.append(answer.status_code)
            if answer.status_code == 201:
                held.extend(file["url"] for file in answer.get_json()["files"])
            else:
                require_unavailable(answer)

    run_all([ask] * CLIENTS, beside=flip, until=flipping)
    switch.fault = Fault.NONE
    assert set(statuses) == {201, 503}
    issued = {record["download"] for record in world.records("download")}
    ids = {parse_qs(urlsplit(url).query)["x-download-id"][0] for url in held}
    assert len(held) == 2 * statuses.count(201)
    assert ids <= issued
    print(f"{world.kind}: {len(held)} URLs held, {len(issued)} entries, {len(ids - issued)} unlogged")


def run_all(work: list[Any], *, beside: Any, until: threading.Event) -> None:
    """Run all of `work` at once, with `beside` running until the last one has ended. Raises what any of them raised."""
    failures: list[BaseException] = []

    def guarded(one: Any) -> None:
        try:
            one()
        except (AssertionError, Refused, OSError) as error:
            failures.append(error)

    other = threading.Thread(target=beside)
    threads = [threading.Thread(target=guarded, args=(one,)) for one in work]
    for thread in [other, *threads]:
        thread.start()
    for thread in threads:
        thread.join(120)
    until.set()
    other.join(10)
    if failures:
        raise failures[0]
