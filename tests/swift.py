"""A real OpenStack Swift on loopback, with its S3 API: a proxy, and one account, container and object server."""

import getpass
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.storage.embedded import free_port
from server.storage.keys import S3Credentials
from server.storage.objects import S3Objects
from server.storage.parent_death import ending_with_parent
from tests.prepare import SWIFT

START_SECONDS = 120
BUCKET = "weights"
PUBLISHER = S3Credentials("lab:publisher", "publisher-secret-0123456789")
_BEHIND = ("account", "container", "object")
_COMMON = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_address = /nonexistent
"""
_STORAGE = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = f"""
[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging cache listing_formats bulk s3api tempauth slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_lab_publisher = {PUBLISHER.secret_access_key} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers =
[filter:proxy-logging]
use = egg:swift#proxy_logging
"""
_FILTERS = ("catch_errors", "gatekeeper", "listing_formats", "bulk", "slo")
# The rings say where everything lies; a program of Swift's own environment makes them.
_RINGS = """
import sys
from swift.common.ring import RingBuilder
for name, port in zip(("account", "container", "object"), map(int, sys.argv[2:])):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1.0})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


@dataclass(frozen=True)
class Swift:
    """A running one."""

    endpoint: str
    messages: Path  # of its proxy, with a line for each request


def is_installed() -> bool:
    return (SWIFT / ".installed").exists()


@contextmanager
def running(folder: Path) -> Iterator[Swift]:
    """Start all of it in a new folder; it ends with the block."""
    (folder / "devices" / "d1").mkdir(parents=True)
    ports = {name: free_port() for name in (*_BEHIND, "proxy")}
    common = {"folder": folder, "user": getpass.getuser()}
    for name, port in ports.items():
        own = _PROXY if name == "proxy" else _STORAGE.format(name=name)
        filters = [f"[filter:{one}]\nuse = egg:swift#{one}\n" for one in _FILTERS] if name == "proxy" else []
        (folder / f"{name}.conf").write_text(_COMMON.format(port=port, **common) + own + "".join(filters))
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n")
    _python(folder, _RINGS, *(str(ports[name]) for name in _BEHIND))
    started: list[subprocess.Popen[bytes]] = []
    try:
        for name in ports:
            with (folder / f"{name}.out").open("wb") as out:
                command = [str(SWIFT / "bin" / f"swift-{name}-server"), str(folder / f"{name}.conf"), "-v"]
                started.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                        preexec_fn=ending_with_parent(signal.SIGKILL),
                    )
                )  # fmt: skip
        for port in ports.values():
            _wait(port, started)
        made = Swift(f"http://127.0.0.1:{ports['proxy']}", folder / "proxy.out")
        with S3Objects(
            endpoint_url=made.endpoint, region="us-east-1", bucket=BUCKET, addressing="path", credentials=PUBLISHER
        ) as bucket:
            bucket.ensure_bucket()
        yield made
    finally:
        for process in started:
            process.kill()
            process.wait()


def _python(folder: Path, program: str, *arguments: str) -> None:
    command = [str(SWIFT / "bin" / "python"), "-c", program, str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=START_SECONDS)
    assert done.returncode == 0, done.stderr


def _wait(port: int, started: "list[subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in started), [process.args for process in started]
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
