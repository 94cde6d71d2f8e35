"""A real Ceph gateway on loopback: one monitor, one OSD that keeps objects in memory, and radosgw with STS open."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from server.storage.embedded import free_port
from server.storage.keys import S3Credentials
from server.storage.parent_death import ending_with_parent

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
BUCKET, ROLE, PUBLISHER, ASKER = "weights", "downloads", "publisher", "asker"
START_SECONDS = 60
_CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
osd class update on start = false
mon allow pool size one = true
mon data avail crit = 0
mon data = {folder}/mon
osd data = {folder}/osd
run dir = {folder}/run
admin socket = {folder}/run/$name.$pid.asok
log file = {folder}/logs/$name.log
crash dir = {folder}/crash
keyring = {folder}/keyring
rgw s3 auth use sts = true
rgw sts key = {sts_key}
rgw sts min session duration = 1
rgw enable ops log = true
rgw ops log rados = false
rgw ops log file path = {folder}/logs/ops.json
rgw enable usage log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def is_installed() -> bool:
    return all(shutil.which(name) for name in PROGRAMS)


@dataclass
class Radosgw:
    """A running gateway, a bucket of its publisher, and a role that its `asker` alone may assume."""

    folder: Path
    port: int
    users: dict[str, S3Credentials] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def role_arn(self) -> str:
        return f"arn:aws:iam:::role/{ROLE}"

    @property
    def ops_log(self) -> Path:
        return self.folder / "logs" / "ops.json"

    def client(self, credentials: S3Credentials, service: str = "s3", *, validates: bool = True) -> Any:
        """validates: whether boto3 itself refuses what AWS would."""
        return boto3.client(
            service, endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=credentials.access_key_id, aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=30,
                          parameter_validation=validates),
        )  # fmt: skip

    def admin(self, *arguments: str) -> Any:
        """`radosgw-admin`, which answers in JSON."""
        done = _run(self.folder, "radosgw-admin", *arguments)
        return json.loads(done) if done.strip().startswith(("{", "[")) else done

    def add_user(self, name: str) -> S3Credentials:
        made = S3Credentials(secrets.token_hex(10).upper(), secrets.token_hex(20))
        self.admin(
            "user", "create", "--uid", name, "--display-name", name, "--access-key", made.access_key_id,
            "--secret-key", made.secret_access_key,
        )  # fmt: skip
        self.users[name] = made
        return made


@contextmanager
def running(folder: Path) -> Iterator[Radosgw]:
    """Start all of it in a new folder; it ends with the block."""
    for name in ("mon", "osd", "run", "logs", "crash"):
        (folder / name).mkdir(parents=True)
    v2, v1, port = (free_port() for _ in range(3))
    fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
    conf = _CONF.format(fsid=fsid, v2=v2, v1=v1, port=port, folder=folder, sts_key=secrets.token_hex(8))
    (folder / "ceph.conf").write_text(conf)
    address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    _run(folder, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, f"{folder}/monmap")
    _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap")
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_start(folder, "ceph-mon", "-f", "-i", "a"))
        _run(folder, "ceph", "--connect-timeout", str(START_SECONDS), "osd", "new", osd)
        _run(folder, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        started.append(_start(folder, "ceph-osd", "-f", "-i", "0"))
        started.append(_start(folder, "radosgw", "-f", "-n", "client.admin"))
        made = Radosgw(folder, port)
        _wait(made.endpoint, started)
        _furnish(made)
        yield made
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGKILL)
            process.wait()


def _furnish(made: Radosgw) -> None:
    """The users, the bucket, and the role: it may read below `checkpoints/`, and who assumes it may narrow that."""
    publisher = made.client(made.add_user(PUBLISHER))
    made.add_user(ASKER)
    publisher.create_bucket(Bucket=BUCKET)
    trust = _policy(Principal={"AWS": [f"arn:aws:iam:::user/{ASKER}"]}, Action=["sts:AssumeRole"])
    made.admin("role", "create", "--role-name", ROLE, "--path", "/", "--assume-role-policy-doc", trust)
    reads = _policy(
        Action=["s3:GetObject", "s3:ListBucket"],
        Resource=[f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/checkpoints/*"],
    )
    made.admin("role-policy", "put", "--role-name", ROLE, "--policy-name", "read", "--policy-doc", reads)


def _policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


def _run(folder: Path, program: str, *arguments: str) -> str:
    command = [program, "-c", f"{folder}/ceph.conf", *arguments]
    if program == "monmaptool":
        command = [program, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=START_SECONDS, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _start(folder: Path, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
    with (folder / "logs" / f"{program}.out").open("wb") as out:
        return subprocess.Popen(
            [program, "-c", f"{folder}/ceph.conf", *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            env=_environment(), preexec_fn=ending_with_parent(signal.SIGTERM),
        )  # fmt: skip


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def _wait(endpoint: str, started: "list[subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in started), [process.args for process in started]
        try:
            with urllib.request.urlopen(endpoint, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
