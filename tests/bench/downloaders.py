"""What downloads a checkpoint, and what checks its files afterwards: ours, the floor, and what others use."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests import parts
from tests.bench.demo import STAGE, Demo
from tests.prepare import DOWNLOADERS

ROOT = Path(__file__).parents[2]
HF = parts.HUB_LINES["2.4"] / "bin" / "hf"
OURS, FLOOR, SYNCED_FLOOR = "weightgate", "floor: receive and write", "floor: receive, write and sync"
SHA256SUM, OPENSSL, CACHE_VERIFY = "sha256sum", "openssl dgst", "hf cache verify"

Work = Callable[["Published", Path], None]


@dataclass(frozen=True)
class Published:
    """A checkpoint to download. sums: as sha256sum writes them."""

    checkpoint: str
    sums: bytes


@dataclass(frozen=True)
class Tool:
    """fetch: fills an empty folder. checks: by name, each alone makes verified files of what was fetched."""

    name: str
    fetch: Work
    checks: Mapping[str, Work] = field(default_factory=dict)


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of CPU in the processes that were started."""

    wall: float
    cpu: float

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


def spent(work: Callable[[], None]) -> Spent:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def all_tools(demo: Demo) -> tuple[list[Tool], list[str]]:
    """Every tool that is here, and the names of those that are not."""
    found = [
        Tool(FLOOR, _floor(demo)),
        Tool(SYNCED_FLOOR, _floor(demo, "--sync")),
        Tool(OURS, lambda it, folder: weightgate(demo, it.checkpoint, folder)),
    ]
    verify = {OPENSSL: _openssl}
    others = [
        (parts.ARIA2, Tool("aria2c", _aria2(demo), {SHA256SUM: _sha256sum, OPENSSL: _openssl})),
        (shutil.which("curl"), Tool("curl -Z", _curl(demo), verify)),
        (_there(DOWNLOADERS / "bin" / "rclone"), Tool("rclone", _rclone(demo), verify)),
        (_there(DOWNLOADERS / "bin" / "s5cmd"), Tool("s5cmd", _s5cmd(demo), verify)),
        (_there(DOWNLOADERS / "bin" / "aws"), Tool("aws s3 cp", _aws(demo), verify)),
        (_there(HF), Tool("hf download", _hf(demo), {CACHE_VERIFY: _hf_verify(demo), OPENSSL: _openssl})),
    ]
    return found + [tool for here, tool in others if here], [tool.name for here, tool in others if not here]


def versions() -> str:
    """The first line that each of the others tells of itself, of those that are here."""
    asked: list[list[str]] = [
        ["aria2c", "--version"], ["curl", "--version"], [_in("rclone"), "version"],
        [_in("s5cmd"), "version"], [_in("aws"), "--version"], ["openssl", "version"],
    ]  # fmt: skip
    told = []
    for command in asked:
        if shutil.which(command[0]):
            out = subprocess.run(command, check=True, capture_output=True, text=True, env=_quiet()).stdout
            first = out.strip().splitlines()[0].split(" (")[0]
            told.append(f"s5cmd {first}" if first.startswith("v") else first)
    return ", ".join(told)


def weightgate(demo: Demo, checkpoint: str, folder: Path, *more: str) -> None:
    """Our client, with a memory of its own for keys."""
    command = [sys.executable, "-c", "from weightgate.cli import main; main()", "download", STAGE, "--json"]
    known = {"WEIGHTGATE_ENDPOINT": demo.endpoint, "WEIGHTGATE_TOKEN": demo.token}
    known["WEIGHTGATE_STATE"] = str(demo.folder.parent / "state")
    _run([*command, "--checkpoint", checkpoint, "--to", str(folder), *more], demo.folder.parent, more=known)


def hub(demo: Demo, checkpoint: str, home: Path, *more: str) -> None:
    """`hf download`. home: what it keeps between its runs, its cache among that."""
    where = {"HF_ENDPOINT": demo.endpoint, "HF_TOKEN": demo.token, "HF_HOME": str(home)}
    _run([str(HF), "download", STAGE, "--revision", checkpoint, *more], demo.folder.parent, more=where)


def require_same(one: Path, other: Path) -> None:
    """Raise unless both files have the same bytes."""
    _run(["cmp", str(one), str(other)], one.parent)


def _run(command: Sequence[str], folder: Path, given: bytes = b"", more: Mapping[str, str] = {}) -> None:
    done = subprocess.run(command, cwd=folder, input=given, env={**_quiet(), **more}, check=False, capture_output=True)
    if done.returncode:
        raise RuntimeError(
            f"{command[0]} ended with {done.returncode}: {(done.stderr or done.stdout).decode()[-2000:]}"
        )


def _quiet() -> dict[str, str]:
    """The environment, with nothing of this machine's own settings for S3, for the hub or for Python.

    A program that is installed has its bytecode, and is not compiled at each start.
    """
    own = ("AWS_", "HF_", "RCLONE_", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def _floor(demo: Demo, *how: str) -> Work:
    command = [sys.executable, "-m", "tests.bench.floor"]
    return lambda it, folder: _run([*command, str(folder), *how], ROOT, demo.order(it.checkpoint, "*/*"))


def _aria2(demo: Demo) -> Work:
    command = [str(parts.ARIA2), "--no-conf", "-q", "-x8", "-s8", "-j4", "--check-integrity=false", "-i", "-"]

    def fetch(it: Published, folder: Path) -> None:
        # Its own check is slower than any other (it is in the reference's table), so the files come without hashes.
        lines = demo.order(it.checkpoint, "text/x-aria2").replace(b"check-integrity=true", b"").splitlines()
        text = b"\n".join(line for line in lines if line.strip() and not line.startswith(b"  checksum="))
        _run([*command, "-d", str(folder)], folder, text)

    return fetch


def _curl(demo: Demo) -> Work:
    return lambda it, folder: _run(
        ["curl", "-q", "-s", "-K", "-"], folder, demo.order(it.checkpoint, "text/x-curl-config")
    )


def _rclone(demo: Demo) -> Work:
    endpoint, key, secret = demo.store_keys()
    settings = {
        "RCLONE_CONFIG": os.devnull, "RCLONE_S3_PROVIDER": "SeaweedFS", "RCLONE_S3_ENDPOINT": endpoint,
        "RCLONE_S3_ACCESS_KEY_ID": key, "RCLONE_S3_SECRET_ACCESS_KEY": secret, "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }  # fmt: skip
    command = [_in("rclone"), "copy", "--transfers", "8", "--multi-thread-streams", "8", "--fast-list"]
    return lambda it, folder: _run([*command, f":s3:{_prefix(demo, it)}", str(folder)], folder, more=settings)


def _s5cmd(demo: Demo) -> Work:
    endpoint, key, secret = demo.store_keys()
    settings = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
    command = [_in("s5cmd"), "--endpoint-url", endpoint, "--numworkers", "16", "cp", "--concurrency", "8"]
    return lambda it, folder: _run([*command, f"s3://{_prefix(demo, it)}/*", f"{folder}/"], folder, more=settings)


def _aws(demo: Demo) -> Work:
    endpoint, key, secret = demo.store_keys()
    settings = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
    settings |= {"AWS_CONFIG_FILE": os.devnull, "AWS_EC2_METADATA_DISABLED": "true"}
    command = [_in("aws"), "--endpoint-url", endpoint, "s3", "cp", "--recursive", "--only-show-errors"]
    return lambda it, folder: _run([*command, f"s3://{_prefix(demo, it)}/", f"{folder}/"], folder, more=settings)


def _hf(demo: Demo) -> Work:
    home = demo.folder.parent / "hub"
    return lambda it, folder: hub(demo, it.checkpoint, home, "--local-dir", str(folder))


def _hf_verify(demo: Demo) -> Work:
    where = {"HF_ENDPOINT": demo.endpoint, "HF_TOKEN": demo.token, "HF_HOME": str(demo.folder.parent / "hub")}
    command = [str(HF), "cache", "verify", STAGE, "--fail-on-missing-files", "--revision"]
    return lambda it, folder: _run([*command, it.checkpoint, "--local-dir", str(folder)], folder, more=where)


def _sha256sum(it: Published, folder: Path) -> None:
    _run(["sha256sum", "--check", "--quiet"], folder, it.sums)


def _openssl(it: Published, folder: Path) -> None:
    """On every core; a call's lines fit into a pipe's atomic write, so that they arrive whole."""
    names = [line.split(b"  ", 1)[1] for line in it.sums.splitlines()]
    each = "32" if len(names) > 32 else "1"
    command = ["xargs", "-0", "-P", str(os.cpu_count()), "-n", each, "openssl", "dgst", "-sha256", "-r"]
    told = subprocess.run(command, cwd=folder, input=b"\0".join(names), check=True, capture_output=True).stdout
    if sorted(told.replace(b" *", b"  ").splitlines()) != sorted(it.sums.splitlines()):
        raise RuntimeError("openssl dgst: the files are not what was published")


def _prefix(demo: Demo, it: Published) -> str:
    return f"{demo.known['bucket']}/checkpoints/{STAGE}/{it.checkpoint}"


def _in(program: str) -> str:
    return str(DOWNLOADERS / "bin" / program)


def _there(program: Path) -> bool:
    return program.exists()
