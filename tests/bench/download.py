"""Downloading to verified files, and how others do it: `python -m tests.bench.download [--megabytes 512] [--rounds 3]`.

One run on one store, the cases in turns. Each case gets an empty folder on the disk and ends with files whose hashes it
has checked (the floor checks none). CPU seconds of the client's processes stand apart from those of store and server.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from server.storage.embedded import free_port
from tests import parts
from tests.bench import measure
from tests.bench.measure import Case, Outcome, Turn

STAGE = "mini-gpt/base"
HF = parts.HUB_LINES["2.4"] / "bin" / "hf"
START_SECONDS = 180


@dataclass(frozen=True)
class Demo:
    """A demo of the bench's own."""

    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def known(self) -> dict[str, Any]:
        known: dict[str, Any] = json.loads((self.folder / "demo.json").read_text())
        return known

    def cpu_seconds(self) -> float:
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in tree)

    def publish(self, folder: Path) -> str:
        """Publish a folder to the open stage, with an admin's approval; return the checkpoint's id."""
        published = self._operate("publisher", "publish", str(folder), STAGE)
        self._operate("admin", "proposal", "approve", str(published["proposal"]))
        return str(published["id"])

    def _operate(self, who: str, *arguments: str) -> dict[str, Any]:
        person = self.known["people"][who]
        command = [sys.executable, "-m", "server", "--data", str(self.folder), *arguments, "--json"]
        environment = os.environ | {"WEIGHTGATE_PASSWORD": person["password"]}
        done = subprocess.run([*command, "--as", person["email"]], env=environment, check=True, capture_output=True)
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def order(self, checkpoint: str, accept: str) -> bytes:
        body = json.dumps({"stage": STAGE, "checkpoint": checkpoint}).encode()
        headers = {"Accept": accept, "Content-Type": "application/json"}
        headers["Authorization"] = f"Bearer {self.known['tokens']['cleared']}"
        request = urllib.request.Request(f"{self.known['endpoint']}/api/v1/downloads", body, headers)
        with urllib.request.urlopen(request) as answer:
            content: bytes = answer.read()
        return content


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    command = [sys.executable, "-m", "server", "--data", str(folder), "demo", "--port", str(free_port())]
    with (folder.parent / "demo.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"is ready" not in (folder.parent / "demo.log").read_bytes():
            assert process.poll() is None, (folder.parent / "demo.log").read_text()
            assert time.monotonic() < deadline, (folder.parent / "demo.log").read_text()
            time.sleep(0.2)
        yield Demo(folder, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def write_weights(folder: Path, count: int, size_bytes: int) -> None:
    """So many safetensors of random numbers, and the config that makes them a checkpoint."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for number in range(count):
        span = size_bytes // 2 * 2
        tensor = {"dtype": "F16", "shape": [span // 2], "data_offsets": [0, span]}
        head = json.dumps({"weight": tensor}).encode()
        with (folder / f"part-{number:05}.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(head)) + head)
            for begin in range(0, span, 1 << 24):
                file.write(os.urandom(min(1 << 24, span - begin)))


def tools(demo: Demo, checkpoint: str, sums: bytes) -> dict[str, Callable[[Path], None]]:
    """What downloads and verifies into a folder, by name; without what this machine does not have."""
    client = [sys.executable, "-c", "from weightgate.cli import main; main()", "download", STAGE, "--json"]
    known = {"WEIGHTGATE_ENDPOINT": demo.known["endpoint"], "WEIGHTGATE_TOKEN": demo.known["tokens"]["cleared"]}
    known["WEIGHTGATE_STATE"] = str(demo.folder.parent / "state")

    def run(command: list[str], folder: Path, given: bytes = b"", **more: str) -> None:
        subprocess.run(command, cwd=folder, input=given, env=os.environ | more, check=True, capture_output=True)

    def weightgate(folder: Path) -> None:
        run([*client, "--checkpoint", checkpoint, "--to", str(folder)], folder, **known)

    def floor(folder: Path) -> None:
        run(
            [sys.executable, "-m", "tests.bench.floor", str(folder)],
            Path(__file__).parents[2],
            demo.order(checkpoint, "*/*"),
        )

    def aria2(folder: Path) -> None:
        text = demo.order(checkpoint, "text/x-aria2").replace(b"check-integrity=true", b"check-integrity=false")
        text = b"\n".join(line for line in text.splitlines() if not line.startswith(b"  checksum="))
        run([str(parts.ARIA2), "--no-conf", "-q", "-x8", "-s8", "-j4", "-d", str(folder), "-i", "-"], folder, text)

    def curl(folder: Path) -> None:
        run(["curl", "-q", "-s", "-K", "-"], folder, demo.order(checkpoint, "text/x-curl-config"))

    def hf(folder: Path) -> None:
        where = {"HF_ENDPOINT": demo.known["endpoint"], "HF_TOKEN": demo.known["tokens"]["cleared"]}
        run([str(HF), "download", STAGE, "--revision", checkpoint, "--local-dir", str(folder)], folder, **where)

    def with_sha256sum(folder: Path) -> None:
        run(["sha256sum", "--check", "--quiet"], folder, sums)

    def with_openssl(folder: Path) -> None:
        names = b"\0".join(line.split(b"  ", 1)[1] for line in sums.splitlines())
        command = ["xargs", "-0", "-P", "2", "-n", "64", "openssl", "dgst", "-sha256", "-r"]
        told = subprocess.run(command, cwd=folder, input=names, check=True, capture_output=True).stdout
        assert sorted(told.replace(b" *", b"  ").splitlines()) == sorted(sums.splitlines())

    found: dict[str, Callable[[Path], None]] = {"floor: receive and write": floor, "weightgate": weightgate}
    others = {"aria2c": aria2 if parts.ARIA2 else None, "curl -Z": curl if shutil.which("curl") else None}
    others["hf"] = hf if HF.exists() else None
    checks = {"sha256sum": with_sha256sum, "openssl dgst": with_openssl}
    for name, fetch in others.items():
        for check_name, check in checks.items():
            if fetch is not None:
                found[f"{name} + {check_name}"] = _both(fetch, check)
    return found


def _both(fetch: Callable[[Path], None], check: Callable[[Path], None]) -> Callable[[Path], None]:
    def both(folder: Path) -> None:
        fetch(folder)
        check(folder)

    return both


def case(demo: Demo, name: str, size_bytes: int, work: Callable[[Path], None], scratch: Path) -> Case:
    def turn(_: float) -> Turn:
        folder = scratch / "got"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        servers, before, began = demo.cpu_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        work(folder)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        servers = demo.cpu_seconds() - servers
        shutil.rmtree(folder)
        return Turn(size_bytes / wall, cpu + servers, {"wall": wall, "cpu": cpu, "servers": servers})

    return Case(name, turn)


def report(shape: str, outcomes: dict[str, Outcome]) -> str:
    """One table, and the targets of the reference that this run can say something about."""
    ours, floor = outcomes["weightgate"], outcomes["floor: receive and write"]
    rows = []
    for name, one in outcomes.items():
        wall, cpu = one.figure("wall"), one.figure("cpu")
        ratios = f"{ours.figure('wall') / wall:.2f}", f"{ours.figure('cpu') / cpu:.2f}"
        figures = (
            f"{wall:.2f}",
            ratios[0],
            f"{cpu:.2f}",
            ratios[1],
            f"{one.figure('servers'):.2f}",
            f"{one.spread:.2f}",
        )
        rows.append([name, *figures])
    columns = ["case", "wall s", "weightgate ÷ it", "client CPU s", "weightgate ÷ it", "server CPU s", "max/min"]
    against = f"weightgate ÷ floor (target ≤ 1.3): {ours.figure('wall') / floor.figure('wall'):.2f}"
    return f"### {shape}\n\n{measure.table(columns, rows)}\n\n{against}. {measure.noise(list(outcomes.values()))}"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--megabytes", type=int, default=512, help="of each shape but the small files [512]")
    asked.add_argument("--small", type=int, default=500, help="how many files of 100 KB, up to 999 [500]")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--scratch", type=Path, help="a folder on the disk to download to [TMPDIR]")
    given = asked.parse_args()
    shapes = {f"8 × {given.megabytes // 8} MB": (8, given.megabytes * 1_000_000 // 8)}
    shapes |= {
        f"1 × {given.megabytes} MB": (1, given.megabytes * 1_000_000),
        f"{given.small} × 100 KB": (given.small, 100_000),
    }
    texts = [
        measure.header(["cryptography", "click"]),
        "Medians of interleaved rounds; each case ends with verified files.",
    ]
    with tempfile.TemporaryDirectory(dir=given.scratch) as name, running_demo(Path(name) / "data") as demo:
        for shape, (count, size_bytes) in shapes.items():
            source, scratch = Path(name) / "source", Path(name)
            write_weights(source, count, size_bytes)
            checkpoint, total = demo.publish(source), sum(file.stat().st_size for file in source.iterdir())
            shutil.rmtree(source)
            listed = json.loads(demo.order(checkpoint, "application/json"))["files"]
            sums = "".join(f"{file['sha256']}  {file['path']}\n" for file in listed).encode()
            cases = [case(demo, *one, scratch) for one in _sized(tools(demo, checkpoint, sums), total)]
            texts.append(report(shape, measure.interleave(cases, rounds=given.rounds)))
            print(texts[-1], flush=True)
    measure.write_section("download", "\n\n".join(texts))


def _sized(found: dict[str, Callable[[Path], None]], total: int) -> list[tuple[str, int, Callable[[Path], None]]]:
    return [(name, total, work) for name, work in found.items()]


if __name__ == "__main__":
    main()
