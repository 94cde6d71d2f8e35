"""giftless, the peer: it hands out signed URLs as we do, knows no partners and logs nothing. For real, as installed."""

import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
from botocore.config import Config

from server.storage import keys
from server.storage.embedded import EmbeddedStore, free_port
from tests import prepare

HERE = Path(__file__).parent
AS_SHIPPED, WITHOUT_HEAD = "giftless as shipped", "giftless without its HEAD"
ORGANIZATION, REPOSITORY, PREFIX = "bench", "weights", "checkpoints"
CONTENT = [f"object {number:05}\n".encode() for number in range(1000)]  # all of one size
MEDIA_TYPE = "application/vnd.git-lfs+json"


def fill(store: EmbeddedStore, bucket: str) -> None:
    """Put its objects where it looks for them."""
    credentials = keys.read_s3_credentials(store.publisher_key_file)
    client = boto3.client(
        "s3", endpoint_url=store.endpoint_url, region_name="us-east-1", aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key, config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    for content in CONTENT:
        key = f"{PREFIX}/{ORGANIZATION}/{REPOSITORY}/{hashlib.sha256(content).hexdigest()}"
        client.put_object(Bucket=bucket, Key=key, Body=content)
    client.close()


def body(files: int) -> str:
    """What a Git LFS client asks for this many files."""
    objects = [{"oid": hashlib.sha256(each).hexdigest(), "size": len(each)} for each in CONTENT[:files]]
    return json.dumps({"operation": "download", "transfers": ["basic"], "objects": objects})


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}/{ORGANIZATION}/{REPOSITORY}.git/info/lfs/objects/batch"


@contextmanager
def serving(folder: Path, store: EmbeddedStore, bucket: str, *, head: bool) -> Iterator[tuple[int, psutil.Process]]:
    """Run it with as many processes and threads as ours; yields its port and gunicorn's arbiter.

    head: as shipped. Without it threads only cost, so it runs as it is fastest, a request a process.
    """
    prepare.giftless()
    gunicorn = prepare.GIFTLESS / "bin" / "gunicorn"
    configuration = folder / "giftless.json"  # which YAML contains
    storage = {"bucket_name": bucket, "path_prefix": PREFIX, "endpoint": store.endpoint_url}
    options = {"storage_class": "giftless.storage.amazon_s3:AmazonS3Storage", "storage_options": storage}
    basic = {"factory": "giftless.transfer.basic_external:factory", "options": options}
    configuration.write_text(json.dumps({"TRANSFER_ADAPTERS": {"basic": basic}}))
    credentials, port = keys.read_s3_credentials(store.signer_key_file), free_port()
    environment = os.environ | {
        "GIFTLESS_CONFIG_FILE": str(configuration), "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key, "AWS_DEFAULT_REGION": "us-east-1",
        "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    if not head:
        environment["WITHOUT_HEAD"] = str(len(CONTENT[0]))
    threads = ["-k", "gthread", "--threads", "8"] if head else ["-k", "sync"]
    command = [
        str(gunicorn),
        "-w",
        "2",
        *threads,
        "-b",
        f"127.0.0.1:{port}",
        "--log-level",
        "error",
        "giftless_app:app",
    ]
    shutil.copy(HERE / "giftless_app.py", folder)  # there no module of ours is taken for theirs
    process = subprocess.Popen(command, env=environment, cwd=folder)
    try:
        _wait(port, process)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until it gives a URL that works; whatever else would be measured as if it were one."""
    deadline = time.monotonic() + 30
    while True:
        request = urllib.request.Request(
            address(port), body(1).encode(), {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as response:
                url = json.load(response)["objects"][0]["actions"]["download"]["href"]
            with urllib.request.urlopen(url, timeout=5) as response:
                assert response.read() == CONTENT[0]
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
