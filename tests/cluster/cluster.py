"""The cluster: what it stands on, its two machines, its front; made once in a folder, and started again from there."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import requests

from server import settings
from server.cli import instance as making
from server.cli import worked_example
from server.domain.identity import s3_keys
from server.domain.resources import Resources
from server.storage.embedded import EmbeddedStore, free_port, is_free
from server.storage.embedded_s3_door import S3Door
from tests.cluster.front import STORE_NAME, Front
from tests.cluster.machines import Machine
from tests.postgres import PostgreSQL, initialize, reachable_binaries
from tests.redis_server import RedisServer

DESCRIPTION = "cluster.json"
DATABASE, BUCKET = "weightgate", "weights"
ROLES = ("owner", "web", "sealer")
PORTS = (
    "https", "plain", "store_https", "store", "machine_1", "machine_2", "postgresql", "redis", "s3_https", "door",
    "web_of_door",
)  # fmt: skip
READY_SECONDS = 60
STOP_SECONDS = 20
# The names of the settings under which the store's keys lie on the machines.
STORE_KEYS = ("signer", "publisher", "anchor", "findings", "uploads")


class Cluster:
    """Two machines of one instance. What a test does to it is its own affair: every part can be ended and started."""

    postgres: PostgreSQL
    redis: RedisServer
    store: EmbeddedStore

    def __init__(self, folder: Path, redis_program: str, port: int | None = None) -> None:
        """port: of https; a free one if None, or last time's in a folder that holds a cluster."""
        self.folder, self._redis_program = folder.absolute(), redis_program
        self.known: dict[str, Any] = self._read() or {"ports": _ports(port), "password": secrets.token_hex(16)}
        self.is_new = "people" not in self.known
        ports = self.known["ports"]
        self.front = Front(self.folder / "nginx", ports)
        self.machines = [
            Machine(self.folder / f"machine-{number}", ports[f"machine_{number}"], self.front.authorities)
            for number in (1, 2)
        ]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> None:
        """Start everything, in the order in which it needs each other, and wait until both machines are ready."""
        self._start_postgres()
        self._start_redis()
        if self.is_new:
            self._furnish_first()
        self._start_store()
        self._stack.callback(self.front.stop)
        if self.is_new:
            self._make()
        making.write_schema(settings.load(self.machines[0].data, {}))
        self.front.start(self.machines)
        self._stack.callback(self._stop_services)
        for machine in self.machines:
            for service in ("web", "worker"):
                machine.start(service)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until each machine says for itself that it could issue."""
        deadline = time.monotonic() + READY_SECONDS
        for machine in self.machines:
            while not _ready(f"http://{machine.address}"):
                web = machine.processes["web"]
                if web.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(machine.said("web"))
                time.sleep(0.1)

    def stopped(self) -> list[str]:
        """What has ended by itself."""
        ended = [
            f"{service} of machine {number}"
            for number, machine in enumerate(self.machines, start=1)
            for service, process in machine.processes.items() if process.poll() is not None
        ]  # fmt: skip
        around = {
            "nginx": self.front.alive(), "the store": self.store.alive(),
            "PostgreSQL": self.postgres.process.poll() is None,
        }  # fmt: skip
        return ended + [name for name, is_alive in around.items() if not is_alive]

    def database_url(self, role: str) -> str:
        port = self.known["ports"]["postgresql"]
        return f"postgresql+psycopg://weightgate_{role}:{self.known['password']}@127.0.0.1:{port}/{DATABASE}"

    @contextlib.contextmanager
    def resources(self, machine: int = 1) -> Iterator[Resources]:
        """What a process on a machine would have, for looking at the database and the store past the web."""
        with contextlib.closing(Resources(settings.load(self.machines[machine - 1].data, {}))) as use:
            yield use

    def _read(self) -> dict[str, Any] | None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        if (self.folder / DESCRIPTION).exists():
            known: dict[str, Any] = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))
            if known["ports"].keys() != set(PORTS):
                raise SystemExit(
                    f"{self.folder} holds a cluster of an older version: remove it, or choose another folder"
                )
            return known
        unfinished = {"nginx", "machine-1", "machine-2", "store", "postgresql", "redis", "sources"}
        found = {path.name for path in self.folder.iterdir()}
        if found - unfinished:
            raise SystemExit(f"{self.folder} holds something else than a cluster: choose another folder with DATA=")
        for name in found:  # of a run that was killed while it made them
            shutil.rmtree(self.folder / name)
        return None

    def _start_postgres(self) -> None:
        folder = self.folder / "postgresql"
        folder.mkdir(exist_ok=True)
        if os.getuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in self.folder.parents):
            raise SystemExit("PostgreSQL does not run as root: choose a folder that every user can enter with DATA=")
        self.folder.chmod(0o755)
        shutil.rmtree(folder / "copy", ignore_errors=True)
        binaries, password = reachable_binaries(folder), self.known["password"]
        if not (folder / "data").exists():
            initialize(binaries, folder, password)
        self.postgres = PostgreSQL(binaries, self.known["ports"]["postgresql"], password, folder)
        self._stack.callback(_end_postgres, self.postgres)

    def _start_redis(self) -> None:
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        self.redis = RedisServer(self._redis_program, folder, self.known["ports"]["redis"])
        self._stack.callback(self.redis.end)

    def _furnish_first(self) -> None:
        """Settings and keys of the first machine: the store's proxy is told by which secret the web knows it."""
        self.machines[0].folder.mkdir()
        making.write_keys(making.write_settings(self.machines[0].data, self._settings()))

    def _start_store(self) -> None:
        first, ports = self.machines[0], self.known["ports"]
        with contextlib.closing(Resources(settings.load(first.data, {}))) as use:
            secret = s3_keys.door_secret(use)
        door = S3Door(
            port=ports["door"], web=self.front.web_of_door, store_host=f"{STORE_NAME}:{ports['store_https']}",
            is_behind_proxy=True, secret=secret,
        )  # fmt: skip
        self.store = EmbeddedStore(self.folder / "store", ports["store"], BUCKET, door=door)
        self._stack.enter_context(self.store)

    def _make(self) -> None:
        """Follow deploy/README.md: roles, settings, keys, schema; then the worked example and a second machine."""
        (self.folder / "nginx").mkdir(mode=0o700)
        self.front.certify()
        self.postgres.run("".join(
            f"CREATE ROLE weightgate_{role} LOGIN PASSWORD '{self.known['password']}';" for role in ROLES
        ))  # fmt: skip
        self.postgres.run(f"CREATE DATABASE {DATABASE} OWNER weightgate_owner TEMPLATE template0 ENCODING 'UTF8'")
        first, second = self.machines
        second.folder.mkdir()
        (first.data / "store").symlink_to(self.folder / "store")  # its worker reads the proxy's access log
        for name in STORE_KEYS:
            target = first.data / "keys" / f"{name}.json"
            target.touch(mode=0o600)
            target.write_bytes(getattr(self.store, f"{name}_key_file").read_bytes())
        made = settings.load(first.data, {})
        making.write_schema(made)
        # Past nginx, which does not run yet; nothing of the store's address is kept.
        direct = made.model_copy(update={"s3_endpoint_url": self.store.endpoint_url})
        with contextlib.closing(Resources(direct).as_owner()) as owner:
            example = worked_example.build(owner, self.folder / "sources")
            owner.claim_bucket()
            self.known |= asdict(example)
        second.furnish_like(first)
        path = self.folder / DESCRIPTION
        path.touch(mode=0o600)
        path.write_text(json.dumps(self.known | {"endpoint": self.front.url}, indent=2), encoding="utf-8")

    def _settings(self) -> dict[str, Any]:
        return {
            "public_url": self.front.url,
            "listen": self.machines[0].address,
            "trusted_proxies": ["127.0.0.1/32"],
            "contact": "clearance@example-lab.example",
            "logger_level": "info",
            "redis_url": f"redis://127.0.0.1:{self.known['ports']['redis']}/0",
            "database_url": self.database_url("web"),
            "sealer_database_url": self.database_url("sealer"),
            "migration_database_url": self.database_url("owner"),
            "embedded_store": True,
            "s3_endpoint_url": self.front.store_url,
            "s3_bucket": BUCKET,
            "s3_addressing": "path",
            "anchor_bucket": f"{BUCKET}-anchors",
            "s3_door": "proxy",
            "s3_door_url": self.front.s3_url,
            "s3_door_port": self.known["ports"]["door"],
            "findings_key_file": "keys/findings.json",
            "uploads_key_file": "keys/uploads.json",
            "log_host": making.log_host(self.front.url),
        }

    def _stop_services(self) -> None:
        for machine in self.machines:
            for service in list(machine.processes):
                machine.stop(service)


def let_postgresql_in(folder: Path) -> None:
    """PostgreSQL does not run as root: where we do, a temporary folder is opened for its user, however deep it lies."""
    if os.getuid() == 0:
        for parent in (folder, *folder.parents):
            if not parent.stat().st_mode & 0o001:
                parent.chmod(0o755)


def _ports(https: int | None) -> dict[str, int]:
    if https is not None and not is_free(https):
        raise SystemExit(f"port {https} on 127.0.0.1 is in use: choose another one")
    taken = set() if https is None else {https}
    ports = {} if https is None else {"https": https}
    for name in PORTS:
        if name not in ports:
            ports[name] = free_port(taken)
            taken.add(ports[name])
    return ports


def _ready(url: str) -> bool:
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(f"{url}/readyz", timeout=5).status_code == 200
    return False


def _end_postgres(server: PostgreSQL) -> None:
    server.process.send_signal(signal.SIGINT)
    server.process.wait(STOP_SECONDS)
