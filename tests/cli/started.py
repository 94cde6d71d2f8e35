"""The server's command as a process of its own, with everything that it starts."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from server.storage.parent_death import ending_with_parent

READY_SECONDS = 120  # three of them may start at once, on two cores


class Started:
    """One `weightgate-server …` with its output in files. Whatever happens, `kill` leaves nothing of it running."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.began = time.monotonic()
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder.with_suffix(".out"), folder.with_suffix(".err")
        command = [sys.executable, "-m", "server", "--data", str(folder), *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ, **environment},
                preexec_fn=ending_with_parent(signal.SIGTERM),
            )  # fmt: skip
        self._seen: set[int] = set()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def processes(self) -> set[int]:
        """It and everything that it started and that still runs."""
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        found = {self.process.pid} if self.process.poll() is None else set()
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        self._seen |= found
        return found

    def named(self, pattern: str) -> list[int]:
        """The direct children whose command line has the pattern."""
        direct = [pid for pid in self.processes() if _parent(Path(f"/proc/{pid}")) == self.process.pid]
        return [pid for pid in direct if re.search(pattern, _command(pid))]

    def leftovers(self) -> set[int]:
        """What was seen to be started by it and still runs."""
        return {pid for pid in self._seen if _parent(Path(f"/proc/{pid}")) is not None}

    def until(self, condition: Callable[[], object], seconds: float = READY_SECONDS) -> None:
        """Wait for something to come true. Ends early when the process does."""
        while not condition():
            assert self.process.poll() is None, self.err or self.out
            assert time.monotonic() < self.began + seconds, self.err or self.out
            time.sleep(0.02)

    def interrupt(self) -> int:
        """Ctrl-C, and wait for its end; returns the exit code."""
        self.processes()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(40)

    def kill(self) -> None:
        """kill -9 of it and of everything that it started."""
        for pid in self.processes() | self.leftovers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()


def answers(port: int) -> bool:
    """Whether something listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _parent(folder: Path) -> int | None:
    """The parent of a running process; None when it has ended, whether or not somebody has asked for its exit code."""
    try:
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(parent)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
