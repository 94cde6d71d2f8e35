"""Machines with unmodified clients: a pod's token file through STS and the S3 door, and `weightgate login --oidc`."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from server.domain.identity import trust_records
from server.storage.embedded import EmbeddedStore
from tests import issuer as issuers
from tests.e2e.s3_serving import ServedDoor, serving
from tests.e2e.working import working
from tests.interop.s3_ways import PROCESS, STAGE, STS, WEIGHTGATE, run, sources, surroundings
from tests.interop.test_s3_tools import command
from tests.issuer import ACCOUNT, Issuer, trust, trusting
from tests.world import copied_world

# Reads a file, waits for a line, reads it again; says how each went. The libraries find the token file by themselves.
TWICE = """
import boto3, botocore, sys
from botocore.config import Config
client = boto3.client("s3", config=Config(retries={"total_max_attempts": 1}))
for _ in range(2):
    try:
        body = client.get_object(Bucket="models", Key=sys.argv[1])["Body"].read()
        print(200, len(body), flush=True)
    except botocore.exceptions.ClientError as error:
        print(error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Message"], flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    """A cluster's issuer; its next key is published already, as Kubernetes publishes it."""
    with issuers.running(tmp_path_factory.mktemp("cluster")) as made:
        made.add_key("ES256")
        yield made


@pytest.fixture(scope="module")
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded_store: EmbeddedStore,
    cluster: Issuer,
) -> Iterator[ServedDoor]:  # fmt: skip
    """A served door whose server trusts the cluster."""
    folder = tmp_path_factory.mktemp("machines")
    listed = [{"url": cluster.url, "ca_file": str(cluster.ca_file)}]
    with contextlib.contextmanager(copied_world)(request, folder, "sqlite") as world:
        (folder / "door").mkdir()
        with serving(world, embedded_store, folder / "door", workload_issuers=listed) as made, working(world):
            trust(world, cluster)
            yield made


def pod(door: ServedDoor, home: Path, text: str, trust_record: int = 0) -> dict[str, str]:
    """A pod's environment, with a projected token in its file."""
    known = surroundings(door, STS, home)
    Path(known["AWS_WEB_IDENTITY_TOKEN_FILE"]).write_text(text)
    return known | {"AWS_ROLE_ARN": f"arn:aws:iam::{trust_record:012d}:role/{STAGE}"}


@pytest.mark.parametrize("tool", ["boto3", "aws", "rclone"])
def test_a_pod_copies_a_stage(door: ServedDoor, cluster: Issuer, tmp_path: Path, tool: str) -> None:
    """Every byte; each entry names trust record, subject and pod. Run again, it is the same session."""
    number = trusting(door.world, cluster, name=tool)
    keys = list(cluster.keys)
    environment = pod(door, tmp_path / "home", cluster.sign(cluster.claims(), keys[-1]), number)
    before, exchanges = len(door.world.records("download")), len(door.world.records("token.exchange"))
    for target in (tmp_path / "first", tmp_path / "second"):
        target.mkdir()
        done = run(command(tool, door, STAGE, target), environment)
        assert done.returncode == 0, done.stderr
        assert {path.name: path.read_bytes() for path in target.iterdir()} == sources(door)
    (exchange,) = door.world.records("token.exchange")[exchanges:]
    machine = {"trust_record": number, "subject": ACCOUNT, "run": "pod b9e5c0de-1111-4222-8333-444455556666"}
    assert (exchange["door"], exchange["issuer"]) == ("sts", cluster.url)
    entries = door.world.records("download")[before:]
    assert [entry["actor"]["workload"] for entry in entries] == [machine] * len(entries)
    assert {entry["actor"]["token"] for entry in entries} == {exchange["token"]}
    # The file is renewed, with the cluster's next key: another session, for the same machine.
    environment = pod(door, tmp_path / "home", cluster.sign(cluster.claims(), keys[0]), number)
    (tmp_path / "third").mkdir()
    done = run(command(tool, door, STAGE, tmp_path / "third"), environment)
    assert done.returncode == 0, done.stderr
    assert len(door.world.records("token.exchange")) == exchanges + 2


def test_a_tool_that_runs_our_command_copies_a_stage(door: ServedDoor, cluster: Issuer, tmp_path: Path) -> None:
    """`weightgate credentials` with the pod's token file, as a credential_process."""
    number = trusting(door.world, cluster)
    (tmp_path / "token").write_text(cluster.token())
    environment = surroundings(door, PROCESS, tmp_path / "home")
    options = f"--oidc-token-file {tmp_path / 'token'} --oidc-trust aurora-institute/{number}"
    settings = tmp_path / "home" / ".aws" / "config"
    settings.write_text(f"[default]\ncredential_process = {WEIGHTGATE} credentials {options} {STAGE}\n")
    del environment["WEIGHTGATE_TOKEN"]
    target = tmp_path / "copied"
    done = run(command("aws", door, STAGE, target), environment)
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in target.iterdir()} == sources(door)
    assert door.world.records("download")[-1]["actor"]["workload"]["trust_record"] == number


def test_after_a_revoke_the_next_request_is_refused(door: ServedDoor, cluster: Issuer, tmp_path: Path) -> None:
    """With the keys that a running program holds; and the file gives no more."""
    number = trusting(door.world, cluster)
    environment = pod(door, tmp_path / "home", cluster.token(), number)
    asked = [sys.executable, "-c", TWICE, f"{STAGE}/config.json"]
    with subprocess.Popen(
        asked, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == f"200 {len(door.source('config.json'))}\n"
        trust_records.revoke(door.world.use, door.world.person("cleared"), number)
        program.stdin.write("\n\n")
        program.stdin.flush()
        told = program.stdout.readline()
    assert told.startswith("403 ")
    assert "The token was revoked" in told
    assert "The token was revoked" in run(asked, environment).stdout
    environment = pod(door, tmp_path / "home", cluster.token(), number)
    assert "No trust record matches" in run(asked, environment).stdout


def test_a_machine_logs_in_and_downloads(door: ServedDoor, cluster: Issuer, tmp_path: Path) -> None:
    """`weightgate login --oidc`, then `download` and `credentials` as any other token."""
    number = trusting(door.world, cluster)
    (tmp_path / "token").write_text(cluster.token())
    environment = surroundings(door, STS, tmp_path / "home") | {
        "WEIGHTGATE_ENDPOINT": door.api, "WEIGHTGATE_STATE": str(tmp_path / "state"),
    }  # fmt: skip

    def weightgate(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return run([str(WEIGHTGATE), *arguments], environment)

    trusted = f"aurora-institute/{number}"
    done = weightgate("login", "--oidc-token-file", str(tmp_path / "token"), "--oidc-trust", trusted)
    assert done.returncode == 0, done.stderr
    assert "owner@aurora-institute.example of aurora-institute until " in done.stdout
    got = tmp_path / "got"
    done = weightgate("download", STAGE, "--to", str(got))
    assert done.returncode == 0, done.stderr
    for name, content in sources(door).items():
        assert (got / name).read_bytes() == content
    assert door.world.records("download")[-1]["actor"]["workload"]["trust_record"] == number
    done = weightgate("credentials", STAGE)
    assert done.returncode == 0, done.stderr
    made = door.world.records("token.exchange")[-1]
    ends = datetime.fromisoformat(json.loads(done.stdout)["Expiration"]).timestamp() * 1000
    assert made["expires_at"] - 60_000 < ends <= made["expires_at"]
    done = weightgate("login", "--oidc-token-file", str(tmp_path / "token"), "--oidc-trust", trusted)
    assert done.returncode == 1
    assert "used already" in done.stderr
