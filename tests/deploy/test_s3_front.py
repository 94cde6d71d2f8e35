"""deploy/nginx-s3.conf, in front of the embedded store's door: what a client on the internet meets."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from server.domain.identity import s3_keys
from server.storage.embedded import EmbeddedStore, _nginx, free_port, is_free
from server.storage.parent_death import ending_with_parent
from tests import s3
from tests.e2e import s3_serving
from tests.world import World

ROOT = Path(__file__).parents[2]
KEY = "mini-gpt/base/config.json"


def configuration(folder: Path, port: int, door: int) -> str:
    """The file inside an `http` block, without TLS, which another test has; only these values are other ones."""
    text = (ROOT / "deploy" / "nginx-s3.conf").read_text(encoding="utf-8")
    text = re.sub(r"^ +ssl_.*\n|^ +listen \[::\].*\n", "", text, flags=re.MULTILINE)
    text = text.replace("listen 443 ssl http2;", f"listen 127.0.0.1:{port};").replace(":8334;", f":{door};")
    text = text.replace("/var/log/nginx/weightgate-s3.log weightgate", str(folder / "access.log"))
    return f"daemon off; worker_processes 1; pid {folder}/nginx.pid; events {{}}\nhttp {{ {text} }}\n"


def test_the_front_lets_tools_through_and_says_who_they_are(
    sqlite_world: World, embedded_store: EmbeddedStore, tmp_path: Path
) -> None:
    """A file arrives, a write does not, and what a client claims of its address reaches neither log."""
    port, front = free_port(), tmp_path / "front"
    front.mkdir()
    with (
        s3_serving.serving(
            sqlite_world, embedded_store, tmp_path / "door", behind_proxy=True, trusted_proxies=["127.0.0.1/32"]
        ) as door,
        fronting(front, port, door.port),
    ):
        made = s3.key_of(sqlite_world)
        client = boto3.client(
            "s3", endpoint_url=f"http://localhost:{port}", region_name="us-east-1",
            aws_access_key_id=made.key.access_key_id, aws_secret_access_key=made.secret,
            aws_session_token=s3_keys.SESSION_TOKEN, config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        client.meta.events.register(
            "before-send", lambda request, **_: request.headers.update({"X-Forwarded-For": "192.0.2.9"})
        )
        assert client.get_object(Bucket="models", Key=KEY)["Body"].read() == door.source("config.json")
        with pytest.raises(client.exceptions.ClientError, match="Nothing is written here"):
            client.delete_object(Bucket="models", Key=KEY)
        assert door.lines()[-1]["remote_address"] == "127.0.0.1"
        assert sqlite_world.records("download")[-1]["actor"]["address"] == "127.0.0.1"
        assert "X-Amz-Signature" not in (front / "access.log").read_text()


def test_where_the_front_itself_refuses_it_does_so_as_s3(tmp_path: Path) -> None:
    """What is too large never reaches the door, and a door that is down is to be asked again later."""
    port, nobody = free_port(), free_port()
    with fronting(tmp_path, port, nobody):
        client = boto3.client(
            "s3", endpoint_url=f"http://localhost:{port}", region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret", config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip
        with pytest.raises(client.exceptions.ClientError) as down:
            client.get_object(Bucket="models", Key=KEY)
        with pytest.raises(client.exceptions.ClientError) as too_large:
            client.put_object(Bucket="models", Key=KEY, Body=bytes(1_100_000))
    said, headers = down.value.response["Error"], down.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert said["Code"] == "ServiceUnavailable"
    assert down.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert headers["retry-after"] == "5"
    assert too_large.value.response["Error"]["Code"] == "EntityTooLarge"


@contextmanager
def fronting(folder: Path, port: int, door: int) -> Iterator[None]:
    (folder / "nginx.conf").write_text(configuration(folder, port, door), encoding="utf-8")
    nginx = subprocess.Popen(
        [str(_nginx()), "-p", f"{folder}/", "-e", "nginx.log", "-c", "nginx.conf"], env={"PATH": os.defpath},
        stdout=sys.stderr, stderr=sys.stderr, start_new_session=True, preexec_fn=ending_with_parent(signal.SIGTERM),
    )  # fmt: skip
    try:
        while is_free(port):
            assert nginx.poll() is None, (folder / "nginx.log").read_text()
            time.sleep(0.02)
        yield
    finally:
        os.killpg(nginx.pid, signal.SIGKILL)
        nginx.wait()
