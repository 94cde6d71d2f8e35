"""S3 libraries for Python, unmodified, against the served door and a real store: equal bytes, until access ends."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from server.domain.identity import tokens
from server.domain.identity.tokens import NewToken
from server.domain.permissions import Scope
from server.domain.release import holds
from server.storage.embedded import EmbeddedStore
from tests import parts
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor
from tests.interop.s3_ways import (
    CONTAINER,
    PROCESS,
    STAGE,
    STS,
    TOKEN_FILE,
    run,
    shards,
    sources,
    surroundings,
    tensors,
)  # fmt: skip
from tests.prepare import S3_TORCH

LIBRARIES = Path(__file__).with_name("s3_libraries.py")
TORCH = Path(__file__).with_name("s3_torch_load.py")
SPOKEN = [
    *(("s3fs", way) for way in (CONTAINER, TOKEN_FILE, STS, PROCESS)),
    *((library, way) for library in ("pyarrow", "s3torchconnector") for way in (CONTAINER, TOKEN_FILE, PROCESS)),
    *(("minio", way) for way in (CONTAINER, TOKEN_FILE)),
    ("obstore", TOKEN_FILE),
]
# They ask for the headers first, and an answer to that has no sentence.
WITHOUT_SENTENCE = {"s3fs": "Forbidden", "pyarrow": "ACCESS_DENIED"}


@pytest.fixture(scope="module")
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[ServedDoor]:
    yield from s3_serving.shared(request, tmp_path_factory.mktemp("s3-libraries"), embedded_store)


def new_token(door: ServedDoor, name: str) -> NewToken:
    """One that may end with its test."""
    world = door.world
    return tokens.create(world.use, world.person("cleared"), name, [Scope.DOWNLOADS_CREATE], timedelta(days=1))


@contextmanager
def reading(library: str, target: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """The program of a library, which has begun to copy a stage."""
    python = parts.python_of_library(library)
    more = {"PYTHONPATH": str(S3_TORCH)} if library == "s3torchconnector" else {}
    command = [python, str(LIBRARIES), library, STAGE, str(target)]
    streams: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment | more, **streams) as process:
        try:
            yield process
        finally:
            process.kill()


def told(process: "subprocess.Popen[str]") -> Any:
    """The next line that it prints."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


def again(process: "subprocess.Popen[str]") -> str:
    """What comes of reading the first file once more, with the client and the keys that it has."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return str(told(process))


@pytest.mark.parametrize(("library", "way"), SPOKEN)
def test_a_library_copies_a_stage_until_it_ends(door: ServedDoor, tmp_path: Path, library: str, way: str) -> None:
    """Every byte; then the next read is refused on a hold, works again without it, and is refused after a revoke."""
    world, token, wanted, target = door.world, new_token(door, library), sources(door), tmp_path / "copied"
    target.mkdir()
    with reading(library, target, surroundings(door, way, tmp_path / "home", token=token.text)) as process:
        assert told(process) == sorted(wanted)
        assert {path.name: path.read_bytes() for path in target.iterdir()} == wanted
        holds.place(world.use, world.admin, STAGE, "A pause.")
        try:
            assert WITHOUT_SENTENCE.get(library, "on hold") in (said := again(process)), said
            assert world.refusals()[-1].code == "stage_held"
        finally:
            world.lift(STAGE)
        assert again(process) == f"{len(wanted[min(wanted)])} bytes"
        tokens.revoke(world.use, world.person("cleared"), token.token.public_id)
        assert WITHOUT_SENTENCE.get(library, "token was revoked") in (said := again(process)), said
    mine = [one for one in world.records("download") if one["actor"].get("token") == token.token.public_id]
    assert {one["files"][0]["path"] for one in mine} == wanted.keys()


def test_pytorch_s_reader_loads_the_tensors(door: ServedDoor, tmp_path: Path) -> None:
    """Every tensor is the one that was published."""
    environment = surroundings(door, CONTAINER, tmp_path / "home") | {"PYTHONPATH": str(S3_TORCH)}
    wanted = shards(door)
    command = [parts.python_of_library("s3torchconnector"), str(TORCH)]
    done = run([*command, *(f"s3://models/{STAGE}/{path.name}" for path in wanted)], environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == tensors(wanted)
