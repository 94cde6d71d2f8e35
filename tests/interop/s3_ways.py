"""The ways by which S3 tools get keys, as the portal tells people to set them, and what a stage's files are."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from safetensors import safe_open

from tests.e2e.s3_serving import ServedDoor

STAGE = "mini-gpt/base"
WEIGHTGATE = Path(sys.executable).with_name("weightgate")
CONTAINER, TOKEN_FILE, STS, PROCESS = "container", "container, token in a file", "web identity", "credential_process"


def surroundings(
    door: ServedDoor, way: str, home: Path, stage: str = STAGE, name: str = "cleared", token: str | None = None
) -> dict[str, str]:
    """What one sets for one of the credential doors. token: another one than that of the demo's person."""
    home.mkdir(exist_ok=True)
    known = {
        "PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": door.endpoint, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    token = token or door.token(name)
    container = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{door.api}/api/v1/credentials/{stage}"}
    if way == CONTAINER:
        return known | container | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": f"Bearer {token}"}
    if way == TOKEN_FILE:
        (home / "header").write_text(f"Bearer {token}")
        return known | container | {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(home / "header")}
    if way == STS:
        (home / "token").write_text(f"{token}\n")
        return known | {
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_ENDPOINT_URL_STS": f"{door.api}/sts",
            "AWS_ROLE_ARN": f"arn:aws:iam::000000000000:role/{stage}", "AWS_ROLE_SESSION_NAME": "tests",
        }  # fmt: skip
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "config").write_text(f"[default]\ncredential_process = {WEIGHTGATE} credentials {stage}\n")
    return known | {"WEIGHTGATE_ENDPOINT": door.api, "WEIGHTGATE_TOKEN": token}


def run(arguments: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=environment, check=False)


def sources(door: ServedDoor) -> dict[str, bytes]:
    folder = Path(door.world.example.sources[STAGE])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def shards(door: ServedDoor) -> list[Path]:
    """The files of the stage that hold tensors."""
    return sorted(Path(door.world.example.sources[STAGE]).glob("*.safetensors"))


def tensors(files: list[Path]) -> dict[str, str]:
    """The digest of each tensor that was published."""
    found = {}
    for path in files:
        with safe_open(path, framework="np") as opened:
            for name in opened.keys():  # noqa: SIM118  # not a dict
                found[name] = hashlib.sha256(opened.get_tensor(name).tobytes()).hexdigest()
    return found
