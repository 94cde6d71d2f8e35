"""A machine: a folder with settings and the keys that it needs, and what its units run there."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from server.settings import FILE_NAME
from server.storage.parent_death import ending_with_parent

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy"
INSTALLED, DATA, AUTHORITIES = "/opt/weightgate", "/var/lib/weightgate", "/etc/ssl/certs/ca-certificates.crt"
APP = "server.wsgi:app"
STOP_SECONDS = 20  # TimeoutStopSec of the units
# Only where checkpoints are published: no other machine can sign a manifest, or write to the bucket.
PUBLISHER_KEYS = ("publisher.json", "manifest.key.pem")


class Machine:
    """One machine. The services are those of the units in deploy/, and run the very commands that stand there."""

    def __init__(self, folder: Path, port: int, authorities: Path) -> None:
        self.folder, self.port, self._authorities = folder, port, authorities
        self.data = folder / "data"
        self.code: Path | None = None  # a folder with the `server` of another release; None: ours
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def furnish_like(self, first: "Machine") -> None:
        """Become a further machine as deploy/README.md says: the same settings, no key that only publishing needs."""
        self.data.mkdir(parents=True, mode=0o700)
        settings = (first.data / FILE_NAME).read_text(encoding="utf-8")
        target = self.data / FILE_NAME
        target.touch(mode=0o600)
        target.write_text(settings.replace(first.address, self.address), encoding="utf-8")
        (self.data / "keys").mkdir(mode=0o700)
        for key in sorted((first.data / "keys").iterdir()):
            if key.name not in PUBLISHER_KEYS:
                copy = self.data / "keys" / key.name
                copy.touch(mode=0o600)
                copy.write_bytes(key.read_bytes())

    def start(self, service: str, app: str = APP, **more: str) -> None:
        """Start `web`, `worker` or `publisher` as its unit does. app: another one for `web`; more: variables besides
        the unit's."""
        command, environment = unit(service)
        command = [app if word == APP else word for word in command]
        here = {DATA: str(self.data), AUTHORITIES: str(self._authorities)}
        told = {name: here.get(value, value) for name, value in environment.items()}
        with (self.folder / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                command, cwd=self.data, env=self._environment() | told | more, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=ending_with_parent(signal.SIGTERM),
            )  # fmt: skip

    def kill(self, service: str) -> None:
        """kill -9 of a service and of everything that it started."""
        process = self.processes.pop(service)
        _signal_group(process, signal.SIGKILL)
        process.wait()

    def stop(self, service: str) -> None:
        """End a service as systemd does: it may finish what it is at."""
        process = self.processes.pop(service)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            _signal_group(process, signal.SIGKILL)

    def run(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Give a command on this machine, as `weightgate-server …`."""
        process = self.begin(*arguments, **environment)
        out, err = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def begin(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """The same without waiting for it."""
        told = {"WEIGHTGATE_DATA": str(self.data), "AWS_CA_BUNDLE": str(self._authorities), **environment}
        command = [str(program("weightgate-server")), *arguments]
        return subprocess.Popen(
            command, cwd=self.data, env=self._environment() | told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        return clean_environment() | ({} if self.code is None else {"PYTHONPATH": str(self.code)})

    def said(self, service: str) -> str:
        """The last of what a service wrote."""
        return (self.folder / f"{service}.log").read_text(encoding="utf-8", errors="replace")[-4000:]


def unit(service: str) -> tuple[list[str], dict[str, str]]:
    """The command and the variables that a unit of deploy/ names, on this machine's programs."""
    lines = (UNITS / f"weightgate-{service}.service").read_text(encoding="utf-8").splitlines()
    (command,) = [line.removeprefix("ExecStart=") for line in lines if line.startswith("ExecStart=")]
    variables = [line.removeprefix("Environment=") for line in lines if line.startswith("Environment=")]
    first, *others = shlex.split(command.replace(f"{INSTALLED}/config", str(ROOT / "config")))
    return [str(program(Path(first).name)), *others], dict(one.split("=", 1) for one in variables)


def program(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def clean_environment() -> dict[str, str]:
    """Without settings and proxies of whoever runs this."""
    return {
        name: value for name, value in os.environ.items()
        if not name.startswith("WEIGHTGATE_") and not name.lower().endswith("_proxy")
    }  # fmt: skip


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
