"""Real witnesses on loopback, which this project did not write: aics-witness, and the one of witness-log."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.storage.embedded import free_port
from server.storage.parent_death import ending_with_parent
from server.witnesses import Witness
from tests.parts import missing
from tests.prepare import INTEROP, LOG_VERIFIERS, WITNESS

START_SECONDS = 20
PROGRAM = WITNESS / "bin" / "aics-witness"


class AicsWitness:
    """A witness with a folder of its own; it can be ended, and started again with what it remembers."""

    def __init__(self, folder: Path, name: str, logs: dict[str, str]) -> None:
        """logs: verifier keys by origin."""
        if not (WITNESS / ".installed").exists():
            missing("witness")
        folder.mkdir(parents=True)
        self._config, self._port = folder / "witness.json", free_port()
        self.vkey = self._run("init", "--name", name).strip().splitlines()[-1].split()[-1]
        for origin, vkey in logs.items():
            self.add_log(origin, vkey)

    @property
    def witness(self) -> Witness:
        """As the settings name it."""
        return Witness(url=f"http://127.0.0.1:{self._port}", vkey=self.vkey)

    def add_log(self, origin: str, vkey: str) -> None:
        """Have it follow a log; before it is started."""
        self._run("add-log", "--origin", origin, "--vkey", vkey)

    def evidence(self) -> str:
        """What it keeps of heads that contradicted what it had cosigned."""
        return self._run("evidence")

    @contextmanager
    def running(self) -> Iterator["AicsWitness"]:
        command = [str(PROGRAM), "serve", "--config", str(self._config), "--listen", f"127.0.0.1:{self._port}"]
        process = subprocess.Popen(
            command,
            cwd=self._config.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=ending_with_parent(signal.SIGKILL),
        )
        try:
            _wait_for(self._port, process)
            yield self
        finally:
            process.terminate()
            process.wait(START_SECONDS)

    def _run(self, command: str, *arguments: str) -> str:
        asked = [str(PROGRAM), command, "--config", str(self._config), *arguments]
        done = subprocess.run(asked, cwd=self._config.parent, capture_output=True, encoding="utf-8", check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def witness_log(name: str, seed: bytes, origin: str, vkey: str) -> Iterator[Witness]:
    """The other one, which remembers until it is ended."""
    if not (LOG_VERIFIERS / ".installed").exists():
        missing("log_verifiers")
    port = free_port()
    program = [str(LOG_VERIFIERS / "bin" / "python"), str(INTEROP / "witness_log_serve.py")]
    command = [*program, str(port), name, seed.hex(), origin, vkey]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, encoding="utf-8", preexec_fn=ending_with_parent(signal.SIGKILL)
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            said = process.stdout.readline().strip()
            _wait_for(port, process)
            yield Witness(url=f"http://127.0.0.1:{port}", vkey=said)
        finally:
            process.kill()
            process.wait(START_SECONDS)


def _wait_for(port: int, process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                print("the witness did not start", file=sys.stderr)
                raise
            time.sleep(0.02)
        else:
            return
