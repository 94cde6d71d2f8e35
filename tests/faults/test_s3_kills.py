"""Web and proxy are killed outright while S3 clients read: no byte reaches anybody without an entry."""

import http.client
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from server.domain.identity.s3_keys import NewS3Key
from server.storage.embedded import EmbeddedStore
from tests import s3
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor
from tests.e2e.working import working
from tests.world import World

STAGE = "mini-gpt/base"
FILES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "tokenizer.json", "config.json")
SHORT_SECONDS, LONG_SECONDS = 4, 25

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass
class Got:
    """What clients have: bytes by key and file. lost: requests that were not answered, or not to their end."""

    files: Counter[tuple[str, str]] = field(default_factory=Counter)
    lost: int = 0
    refused: Counter[int] = field(default_factory=Counter)


def read(door: ServedDoor, key: NewS3Key, path: str, chance: random.Random, got: Got) -> None:
    """One GetObject of some range; whatever comes of it is counted as it comes."""
    first = chance.randrange(400)
    target = f"/models/{STAGE}/{path}"
    request = s3.signed(key, "GET", target, {"range": f"bytes={first}-"}, host=f"localhost:{door.port}")
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    try:
        connection.request("GET", target, headers={name: str(value) for name, value in request.headers.items()})
        answer = connection.getresponse()
        if answer.status != 206:
            got.refused[answer.status] += 1
            return
        while part := answer.read(65_536):
            got.files[key.key.access_key_id, path] += len(part)
    except (OSError, http.client.HTTPException):
        got.lost += 1
    finally:
        connection.close()


def load(door: ServedDoor, seconds: float, clients: int) -> tuple[Got, Counter[str]]:
    """Read with many clients, each with new keys now and then, while web workers and the proxy are killed."""
    got, kills, ending = Got(), Counter[str](), time.monotonic() + seconds

    def client(number: int) -> None:
        chance = random.Random(number)  # noqa: S311  # no secret
        while time.monotonic() < ending:
            key = s3.key_of(door.world)
            for _ in range(6):
                read(door, key, chance.choice(FILES), chance, got)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    chance, waiting = random.Random(7), threading.Event()  # noqa: S311  # no secret
    while time.monotonic() < ending:
        waiting.wait(chance.uniform(0.2, 0.6))
        if chance.random() < 0.5 and (workers := door.web.workers()):
            os.kill(chance.choice(workers), signal.SIGKILL)
            kills["web"] += 1
        else:
            door.kill_nginx()
            door.start_nginx()
            kills["proxy"] += 1
    for thread in threads:
        thread.join(60)
    return got, kills


def require_all_logged(world: World, store: EmbeddedStore, folder: Path, seconds: float, clients: int) -> None:
    with s3_serving.serving(world, store, folder) as door, working(world):
        got, kills = load(door, seconds, clients)
        lines = door.lines(damaged=True)
    records = world.records("download")
    told = Counter((record["access_key_id"], record["files"][0]["path"]) for record in records)
    ids = {record["download"] for record in records}
    read_under = {line["download_id"] for line in lines if line["status"] in {200, 206}}
    print(f"{world.kind}: {dict(kills)} kills, {got.lost} requests lost, refused {dict(got.refused)}, "
          f"{sum(got.files.values())} bytes of {len(got.files)} (key, file), {len(records)} entries, "
          f"{len(got.files.keys() - told.keys())} unlogged")  # fmt: skip
    assert kills["web"] + kills["proxy"] > 3
    assert got.files
    assert got.files.keys() <= told.keys()  # by what clients have
    assert read_under  # by what the store's own log tells
    assert read_under <= ids
    assert set(told.values()) == {1}  # one entry for each key and file, however it was interrupted
    assert got.refused.keys() <= {500, 502, 503}


def test_no_byte_without_an_entry(sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """A few seconds of it."""
    require_all_logged(sqlite_world, embedded_store, tmp_path / "door", SHORT_SECONDS, 4)


@pytest.mark.fault
def test_no_byte_without_an_entry_for_long(world: World, embedded_store: EmbeddedStore, tmp_path: Path) -> None:
    """With eight clients, on both databases."""
    require_all_logged(world, embedded_store, tmp_path / "door", LONG_SECONDS, 8)
