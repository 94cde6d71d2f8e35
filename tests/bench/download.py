"""Downloading to verified files, and how others do it.

Run: python -m tests.bench.download [--megabytes 4096] [--rounds 2] [--shapes eight,one,small] [--scratch DIR].

One run on one store behind one proxy, the cases in turns. Each case gets an empty folder on the disk and ends with
files whose hashes it has checked (the floors check none). What a tool fetched is checked in several ways, each timed
alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import prepare
from tests.bench import downloaders, measure
from tests.bench.demo import Demo, running_demo, write_weights
from tests.bench.downloaders import CACHE_VERIFY, FLOOR, OPENSSL, OURS, SHA256SUM, Published, Spent, Tool, spent
from tests.bench.measure import Case, Outcome, Turn

SMALL_BYTES = 100_000
SMALL_FILES = 999  # and a config: a checkpoint holds 1,000 files at most
KEPT_BYTES = 1_000_000  # smaller files are removed at the end: ext4 without a journal searches past each removed one
TARGETS = [
    ("time to verified files", "wall", f"aria2c + {SHA256SUM}", 0.25),
    ("time to verified files", "wall", f"aria2c + {OPENSSL}", 0.5),
    ("time to verified files", "wall", f"hf download + {CACHE_VERIFY}", 0.25),
    ("time to verified files", "wall", FLOOR, 1.3),
    ("CPU seconds of the client", "cpu", f"aria2c + {SHA256SUM}", 0.3),
]
_HOW = """Medians of interleaved rounds; each case but the floors ends with verified files. Only weightgate and the
second floor wait until the disk has them. Every case goes through the same nginx to the same store. rclone, s5cmd and
aws speak S3 with keys of the store; the others get URLs from `POST /downloads`, and hf from the hub's routes. Small
files are removed at the end of the run: some file systems are slow in making files for minutes after many were
removed.""".replace("\n", " ")


@dataclass(frozen=True)
class Shape:
    """So many checkpoints of so many files of one size, which a turn downloads one after the other."""

    name: str
    checkpoints: int
    files: int
    size_bytes: int


def shapes(megabytes: int) -> dict[str, Shape]:
    whole = megabytes * 1_000_000
    return {
        "eight": Shape(f"8 × {megabytes // 8} MB", 1, 8, whole // 8),
        "one": Shape(f"1 × {megabytes} MB", 1, 1, whole),
        "small": Shape("2,000 × 100 KB, in two checkpoints", 2, SMALL_FILES, SMALL_BYTES),
    }


def published(demo: Demo, shape: Shape, scratch: Path) -> list[Published]:
    found = []
    for _ in range(shape.checkpoints):
        source = scratch / "source"
        write_weights(source, shape.files, shape.size_bytes)
        checkpoint = demo.publish(source)
        shutil.rmtree(source)
        listed = json.loads(demo.order(checkpoint, "application/json"))["files"]
        found.append(Published(checkpoint, "".join(f"{one['sha256']}  {one['path']}\n" for one in listed).encode()))
    return found


def case(demo: Demo, tool: Tool, shape: Shape, wanted: Sequence[Published], scratch: Path) -> Case:
    size_bytes = shape.checkpoints * shape.files * shape.size_bytes

    def turn(_: float) -> Turn:
        servers = demo.cpu_seconds()
        fetched, checked = Spent(0, 0), {name: Spent(0, 0) for name in tool.checks}
        for it in wanted:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            fetched += spent(lambda it=it, folder=folder: tool.fetch(it, folder))  # type: ignore[misc]
            for name, check in tool.checks.items():
                checked[name] += spent(lambda it=it, folder=folder, check=check: check(it, folder))  # type: ignore[misc]
            if shape.size_bytes > KEPT_BYTES:
                shutil.rmtree(folder)
        servers = demo.cpu_seconds() - servers
        whole = sum(checked.values(), fetched)
        figures = {"servers": servers}
        for name, one in checked.items() or [("", Spent(0, 0))]:
            figures |= {f"wall {name}": (fetched + one).wall, f"cpu {name}": (fetched + one).cpu}
        return Turn(size_bytes / whole.wall, whole.cpu + servers, figures)

    return Case(tool.name, turn)


def report(shape: Shape, outcomes: dict[str, Outcome], tools: Sequence[Tool]) -> str:
    """One table, and what it says about each target."""
    lines: dict[str, dict[str, float]] = {}
    for tool in tools:
        one = outcomes[tool.name]
        for check in tool.checks or [""]:
            name = f"{tool.name} + {check}" if check else tool.name
            lines[name] = {what: one.figure(f"{what} {check}") for what in ("wall", "cpu")}
            lines[name] |= {"servers": one.figure("servers"), "spread": one.spread, "foreign": one.foreign}
    ours = lines[OURS]
    rows = [
        [
            name, f"{one['wall']:.2f}", f"{ours['wall'] / one['wall']:.2f}", f"{one['cpu']:.2f}",
            f"{ours['cpu'] / one['cpu']:.2f}", f"{one['servers']:.2f}", f"{one['foreign']:.2f}", f"{one['spread']:.2f}",
        ]
        for name, one in lines.items()
    ]  # fmt: skip
    columns = [
        "case", "wall s", "weightgate ÷ it", "client CPU s", "weightgate ÷ it", "server CPU s", "foreign cores",
        "max/min",
    ]  # fmt: skip
    verdicts = [
        f"- {what} ≤ {most} × {name} (is {ours[figure] / lines[name][figure]:.2f}): "
        f"{'reached' if ours[figure] <= most * lines[name][figure] else 'NOT reached'}"
        for what, figure, name, most in TARGETS
        if name in lines
    ]
    return "\n\n".join(
        [f"### {shape.name}", measure.table(columns, rows), "\n".join(verdicts), measure.noise(list(outcomes.values()))]
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--megabytes", type=int, default=4096, help="of each shape but the small files [4096]")
    asked.add_argument("--rounds", type=int, default=2)
    asked.add_argument("--shapes", default="eight,one,small")
    asked.add_argument("--scratch", type=Path, help="a folder on the disk to download to [TMPDIR]")
    given = asked.parse_args()
    try:
        prepare.downloaders()
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"MISSING PART: downloaders: {error}", file=sys.stderr, flush=True)
    wanted = shapes(given.megabytes)
    with tempfile.TemporaryDirectory(dir=given.scratch) as name, running_demo(Path(name) / "data") as demo:
        tools, missing = downloaders.all_tools(demo)
        texts = [
            measure.header(["cryptography", "click"]),
            f"{_HOW} Beside: {downloaders.versions()}.",
            *[f"MISSING, not compared with: {one}." for one in missing],
        ]
        for shape in (wanted[one] for one in given.shapes.split(",")):
            checkpoints = published(demo, shape, Path(name))
            cases = [case(demo, tool, shape, checkpoints, Path(name)) for tool in tools]
            cases[0].measure(0)  # what the store has on disk is now in memory, for all alike
            texts.append(
                report(shape, measure.interleave(cases, rounds=given.rounds, warm_up_seconds=0, between=os.sync), tools)
            )
            print(texts[-1], flush=True)
    measure.write_section("download", "\n\n".join(texts))


if __name__ == "__main__":
    main()
