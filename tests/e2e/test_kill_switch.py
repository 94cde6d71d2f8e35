"""The kill switch on a real embedded store, with web and worker as processes: what was issued dies, and how fast."""

import statistics
import time
import urllib.request
from collections.abc import Iterator

import pytest

from server.domain.decisions import lifting
from server.domain.errors import NotPossible
from server.domain.release import holds
from server.storage import probes
from server.storage.embedded import EmbeddedStore
from server.storage.signing import StoredObject
from tests.e2e.serving import Served, served
from tests.e2e.working import working
from tests.own_store import on_own_store
from tests.world import World

RUNS = [2, pytest.param(10, marks=pytest.mark.fault)]
DIES_WITHIN_SECONDS = 60
HELD, HELD_FILE = "gpt-2/774M", "hparams.json"
OTHER, OTHER_FILE = "mini-gpt/base", "config.json"
ORGANIZATION = "organization:birch-university"
LARGE, SMALL = (f"checkpoints/{HELD}/canary-000000000000000{n}" for n in range(2))  # probes' keys: no download's
LARGE_BYTES, PIECE_BYTES = 1 << 28, 1 << 20


@pytest.fixture
def store(sqlite_world: World) -> Iterator[EmbeddedStore]:
    with on_own_store(sqlite_world) as own:
        yield own


def url_of(world: World, server: Served, stage: str, path: str) -> str:
    """A URL as a partner gets it, that works."""
    order = {"stage": stage, "paths": [path]}
    status, answer = server.ask("POST", "/api/v1/downloads", world.example.tokens["cleared"], order)
    assert status == 201, answer
    url: str = answer["files"][0]["url"]
    assert probes.status_of(url) == 200
    return url


def figures(values: list[float]) -> str:
    return f"{min(values):.3g} / {statistics.median(values):.3g} / {max(values):.3g}"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("runs", RUNS)
def test_what_is_held_dies_and_lives_again(sqlite_world: World, runs: int) -> None:
    """Asked for as the portal does, so the worker cuts: again and again, other stages untouched, each lift by two."""
    world, told, seen = sqlite_world, list[float](), list[float]()
    with served(world) as server, working(world) as (worker,):
        url, other = url_of(world, server, HELD, HELD_FILE), url_of(world, server, OTHER, OTHER_FILE)
        for run in range(runs):
            began = time.monotonic()
            holds.place(world.use, world.admin, HELD, f"Leak {run}.", cut_issued=True)
            worker.until(lambda: probes.status_of(url) == 403, DIES_WITHIN_SECONDS)
            seen.append(time.monotonic() - began)
            worker.until(lambda: len(world.records("hold.cut")) > len(told))
            told.append(world.records("hold.cut")[-1]["milliseconds"])
            assert probes.status_of(other) == 200
            lifting.propose(world.use, world.admin, HELD, "It was a test.")
            with pytest.raises(NotPossible, match="You proposed this yourself"):
                lifting.approve(world.use, world.admin, HELD)
            assert probes.status_of(url) == 403
            lifting.approve(world.use, world.admin2, HELD)
            worker.until(lambda: probes.status_of(url) == 200)
        assert worker.messages == ""
    print(
        f"{runs} cuts of {HELD} (min / median / max): canary dead {figures(told)} ms after the store was told, "
        f"a partner's URL {figures(seen)} s after the hold"
    )


@pytest.mark.usefixtures("store")
def test_everything_dies_at_once(sqlite_world: World) -> None:
    """And publishing goes on: it signs in the header."""
    world = sqlite_world
    with served(world) as server, working(world) as (worker,):
        urls = [url_of(world, server, HELD, HELD_FILE), url_of(world, server, OTHER, OTHER_FILE)]
        holds.place(world.use, world.admin, holds.EVERYTHING, "A leak.", cut_issued=True)
        worker.until(lambda: {probes.status_of(url) for url in urls} == {403}, DIES_WITHIN_SECONDS)
        world.use.store.put_bytes("checkpoints/gpt-2/774M/new", b"published meanwhile")
        worker.until(lambda: world.records("hold.cut"))
        world.lift(holds.EVERYTHING)
        worker.until(lambda: {probes.status_of(url) for url in urls} == {200})


@pytest.mark.usefixtures("store")
def test_an_organization_s_urls_die_with_the_key_and_new_ones_work(sqlite_world: World) -> None:
    """Every URL that was out is dead, whosever it is; no process is restarted, and all of them sign anew at once."""
    world = sqlite_world
    with served(world) as server, working(world) as (worker,):
        workers, url = server.workers(), url_of(world, server, OTHER, OTHER_FILE)
        holds.place(world.use, world.admin, ORGANIZATION, "A leak.", cut_issued=True)
        worker.until(lambda: probes.status_of(url) == 403, DIES_WITHIN_SECONDS)
        worker.until(lambda: world.records("hold.cut"))
        for _ in range(20):  # whichever of the web's processes answers
            url_of(world, server, OTHER, OTHER_FILE)
        assert server.workers() == workers
        assert server.ask("GET", "/readyz", None)[0] == 200
    record = world.records("hold.cut")[-1]
    print(f"signer key replaced: canary dead after {record['milliseconds']} ms")
    assert record["way"] == "key"


def test_a_transfer_that_had_begun_goes_on_to_its_end(sqlite_world: World, store: EmbeddedStore) -> None:
    """As on AWS: the store judges a request when it begins, and the rest of 256 MiB comes after its URL died."""
    world = sqlite_world
    large = world.folder / "large"
    with large.open("wb") as file:
        file.truncate(LARGE_BYTES)
    world.use.store._client.upload_file(str(large), store.bucket, LARGE)  # type: ignore[attr-defined]
    world.use.store.put_bytes(SMALL, b"small")
    url, small = world.use.signer.sign(
        [StoredObject(LARGE), StoredObject(SMALL)], download_id="canary", lifetime_seconds=300
    )
    with working(world) as (worker,), urllib.request.urlopen(url) as transfer:  # the store's own
        received = len(transfer.read(PIECE_BYTES))
        holds.place(world.use, world.admin, HELD, "A leak.", cut_issued=True)
        worker.until(lambda: probes.status_of(small) == 403, DIES_WITHIN_SECONDS)
        while piece := transfer.read(PIECE_BYTES):
            received += len(piece)
    print(f"a transfer of {LARGE_BYTES} bytes, cut after {PIECE_BYTES}, ended with {received}")
    assert received == LARGE_BYTES
