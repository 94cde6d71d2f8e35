"""A stand-in for systemctl, where no systemd runs: it does with our units what they say, and nothing else.

Run: python systemctl.py ROOT COMMAND [--now] UNIT…. ROOT holds etc/systemd/system; what is started leaves run/UNIT.pid.
"""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

READY_SECONDS = 60


class Units:
    """The units below a root."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def start(self, unit: str) -> int:
        """Start a service; of a timer, run its service once, as it would do daily."""
        unit = unit.removesuffix(".timer")
        service = self._service(unit)
        command = [word.replace("%i", unit.partition("@")[2]) for word in shlex.split(service["ExecStart"][-1])]
        assigned = service.get("Environment", []) + list(_of_files(service.get("EnvironmentFile", [])))
        environment = os.environ | dict(one.split("=", 1) for one in assigned)
        kind, log = service["Type"][-1], (self._root / "run" / f"{unit}.log").open("ab")
        with self._ready(kind) as (notified, address), log:
            if address:
                environment["NOTIFY_SOCKET"] = address
            process = subprocess.Popen(
                command, cwd=service["WorkingDirectory"][-1], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip
            if kind == "oneshot":
                return process.wait()
            (self._root / "run" / f"{unit}.pid").write_text(str(process.pid))
            while notified is not None and b"READY=1" not in notified.recv(4096):
                pass
        return 0

    def stop(self, unit: str) -> int:
        """End a service as systemd does, and wait for it."""
        pid = self._root / "run" / f"{unit}.pid"
        if pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGTERM)
            while _runs(int(pid.read_text())):
                time.sleep(0.05)
            pid.unlink()
        return 0

    def reload(self, unit: str) -> int:
        os.kill(int((self._root / "run" / f"{unit}.pid").read_text()), signal.SIGHUP)
        return 0

    @contextlib.contextmanager
    def _ready(self, kind: str) -> Iterator[tuple[socket.socket | None, str]]:
        if kind != "notify":
            yield None, ""
            return
        path = self._root / "run" / f"notify-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(str(path))
            notified.settimeout(READY_SECONDS)
            yield notified, str(path)
        path.unlink()

    def _service(self, unit: str) -> dict[str, list[str]]:
        file = f"{unit.partition('@')[0]}@.service" if "@" in unit else f"{unit}.service"
        lines = (self._root / "etc/systemd/system" / file).read_text().splitlines()
        found: dict[str, list[str]] = {}
        for line in lines[lines.index("[Service]") + 1 :]:
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found.setdefault(name, []).append(value)
        return found


def _of_files(names: list[str]) -> Iterator[str]:
    """The assignments in files that need not be there, without the quotes around their values."""
    for path in (Path(name.removeprefix("-")) for name in names):
        yield from shlex.split(path.read_text(), comments=True) if path.exists() else ()


def _runs(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat")).read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main(root: str, command: str, *units: str) -> int:
    known = Units(Path(root))
    named = [unit for unit in units if unit != "--now"]
    if command == "daemon-reload":
        return 0
    acts = {"start": [known.start], "enable": [known.start], "stop": [known.stop], "reload": [known.reload]}
    acts["restart"] = [known.stop, known.start]
    return max(act(unit) for unit in named for act in acts[command])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
