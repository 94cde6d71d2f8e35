"""S3 tools, unmodified, against the served door and a real store: byte-equal through each credential door."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.domain.identity import tokens
from server.domain.release import holds
from server.storage.embedded import EmbeddedStore
from tests import parts
from tests.e2e import s3_serving
from tests.e2e.s3_serving import ServedDoor
from tests.interop.s3_ways import CONTAINER, PROCESS, STAGE, STS, run, shards, sources, surroundings, tensors

RUNAI = Path(__file__).with_name("runai_load.py")
BOTO3 = """
import boto3, sys
client = boto3.client("s3")
for item in client.list_objects_v2(Bucket="models", Prefix=sys.argv[1] + "/")["Contents"]:
    client.download_file("models", item["Key"], sys.argv[2] + "/" + item["Key"].rpartition("/")[2])
"""
# s5cmd asks for keys where it asks for files, and wants a file of credentials before it runs a process for them.
SPOKEN = [
    *((tool, way) for tool in ("aws", "rclone", "boto3") for way in (CONTAINER, STS, PROCESS)),
    *(("s5cmd", way) for way in (CONTAINER, STS)),
]


@pytest.fixture(scope="module")
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore
) -> Iterator[ServedDoor]:
    yield from s3_serving.shared(request, tmp_path_factory.mktemp("s3-tools"), embedded_store)


def command(tool: str, door: ServedDoor, source: str, target: Path) -> list[str]:
    """How one copies a folder of the bucket with it. source: below the bucket."""
    if tool == "aws":
        return [_program(tool), "s3", "cp", "--only-show-errors", "--recursive", f"s3://models/{source}", str(target)]
    if tool == "boto3":
        return [sys.executable, "-c", BOTO3, source, str(target)]
    if tool == "rclone":
        remote = f":s3,env_auth,provider=Other,endpoint='{door.endpoint}':models/{source}"
        return [_program(tool), "--retries", "1", "--low-level-retries", "1", "copy", remote, str(target)]
    return [_program(tool), "--endpoint-url", door.endpoint, "cp", f"s3://models/{source}/*", f"{target}/"]


def _program(tool: str) -> str:
    if not parts.S3_TOOL[tool].exists():
        parts.missing(f"an environment with {tool}")
    return str(parts.S3_TOOL[tool])


@pytest.mark.parametrize(("tool", "way"), SPOKEN)
def test_a_tool_copies_a_stage(door: ServedDoor, tmp_path: Path, tool: str, way: str) -> None:
    """Every byte of it, through each door at which it fetches keys; and the log has each file once for each key."""
    before = len(door.world.records("download"))
    environment, target, wanted = surroundings(door, way, tmp_path / "home"), tmp_path / "copied", sources(door)
    target.mkdir()
    done = run(command(tool, door, STAGE, target), environment)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in target.iterdir()} == wanted
    entries = door.world.records("download")[before:]
    assert {entry["door"] for entry in entries} == {"s3"}
    told = [(entry["access_key_id"], entry["files"][0]["path"]) for entry in entries]
    assert len(told) == len(set(told))
    assert {path for _, path in told} == wanted.keys()


@pytest.mark.parametrize("tool", ["aws", "s5cmd", "rclone"])
def test_a_checkpoint_is_copied_by_its_name(door: ServedDoor, tmp_path: Path, tool: str) -> None:
    """The older one too, whose files are others."""
    older = door.world.api("GET", f"/stages/{STAGE}/checkpoints").json["items"][-1]["id"]
    target = tmp_path / "copied"
    environment = surroundings(door, CONTAINER, tmp_path / "home")
    done = run(command(tool, door, f"{STAGE}@{older}", target), environment)
    assert done.returncode == 0, done.stderr
    known = door.world.api("GET", f"/stages/{STAGE}/checkpoints/{older}").json["files"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.iterdir()}
    assert found == {file["path"]: file["sha256"] for file in known}


def test_an_engine_loads_a_stage_straight_from_the_door(door: ServedDoor, tmp_path: Path) -> None:
    """runai-model-streamer, as vLLM and SGLang use it: every tensor is the one that was published."""
    if not parts.RUNAI_STREAMER.exists() or not (parts.TRANSFORMERS / ".installed").exists():
        parts.missing("runai-model-streamer")
    environment = surroundings(door, CONTAINER, tmp_path / "home") | {
        "AWS_ENDPOINT_URL": door.endpoint, "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
        "PYTHONPATH": str(parts.RUNAI_STREAMER.parent), "RUNAI_STREAMER_CHUNK_BYTESIZE": "2097152",
    }  # fmt: skip
    wanted = shards(door)
    python = str(parts.TRANSFORMERS / "bin" / "python")
    done = run([python, str(RUNAI), *(f"s3://models/{STAGE}/{path.name}" for path in wanted)], environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == tensors(wanted)


def test_a_refusal_reaches_the_person(door: ServedDoor, tmp_path: Path) -> None:
    """Who is not cleared gets no keys, and reads why; a writing command fails, and reads that, too."""
    environment = surroundings(door, PROCESS, tmp_path / "home", name="uncleared")
    done = run(command("aws", door, STAGE, tmp_path / "copied"), environment)
    assert done.returncode != 0
    assert "not cleared" in done.stderr
    environment = surroundings(door, CONTAINER, tmp_path / "another home")
    done = run([_program("aws"), "s3", "rm", f"s3://models/{STAGE}/config.json"], environment)
    assert done.returncode != 0
    assert "Nothing is written here" in done.stderr


def test_after_a_hold_and_a_revoke_the_next_request_is_refused(door: ServedDoor, tmp_path: Path) -> None:
    """With keys that were given before; after the hold is lifted they work again. Last, as it ends the token."""
    client = door.client()
    asked = {"Bucket": "models", "Key": f"{STAGE}/config.json"}
    world = door.world
    client.get_object(**asked)["Body"].read()
    holds.place(world.use, world.admin, STAGE, "A pause.")
    with pytest.raises(client.exceptions.ClientError, match=r"\(AccessDenied\).*This stage is on hold"):
        client.get_object(**asked)
    world.lift(STAGE)
    client.get_object(**asked)["Body"].read()
    tokens.revoke(world.use, world.person("cleared"), str(world.caller("cleared").token_public_id))
    with pytest.raises(client.exceptions.ClientError, match=r"\(AccessDenied\).*The token was revoked"):
        client.get_object(**asked)
    done = run(command("aws", door, STAGE, tmp_path / "copied"), surroundings(door, CONTAINER, tmp_path / "home"))
    assert done.returncode != 0
