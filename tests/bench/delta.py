"""A newer checkpoint where an older one lies on the disk: what has to be fetched, by the store's own access log.

Run: python -m tests.bench.delta [--layers 24] [--scratch DIR].
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import delta_pairs, downloaders, measure
from tests.bench.delta_pairs import CHUNK_BYTES, WEIGHTS, Model
from tests.bench.demo import Demo, running_demo

SLACK = 1.01  # of what is fetched over the chunks that changed
SMALL_CHUNK_BYTES = 8 << 20
LOG_SECONDS = 10
_HOW = """Three columns say what each way of cutting would have to fetch; `weightgate --from` and `hf download` (with
the older checkpoint in its cache, hf-xet installed) are what the store's access log says. hf-xet has nothing to do
here, as the hub's routes offer no Xet; a prototype that did saw it fetch 71.06 of 71.07 MB for such a pair."""


@dataclass(frozen=True)
class Got:
    """Bytes by the store's access log, and seconds."""

    fetched_bytes: int
    seconds: float


def sent_bytes(demo: Demo, since: int) -> int:
    """What the store has sent of downloads, from a place of its access log on."""
    with demo.access_log.open("rb") as log:
        log.seek(since)
        lines = [json.loads(line) for line in log if line.endswith(b"\n")]
    return sum(line["bytes_sent"] for line in lines if line["method"] == "GET" and line["download_id"])


def got(demo: Demo, work: Callable[[], None]) -> Got:
    since, began = demo.access_log.stat().st_size, time.perf_counter()
    work()
    seconds, told = time.perf_counter() - began, -1
    deadline = time.monotonic() + LOG_SECONDS
    while told != (now := sent_bytes(demo, since)) and time.monotonic() < deadline:
        told = now  # a request's line is written a moment after its last byte
        time.sleep(0.5)
    return Got(now, seconds)


def measured(demo: Demo, older: str, base: Model, name: str, model: Model, scratch: Path) -> list[str]:
    """One row: a change, what each way of cutting would fetch, and what the clients did."""
    source, wanted = scratch / "source", scratch / "newer"
    delta_pairs.write(source, model, {"change": name})
    size = (source / WEIGHTS).stat().st_size
    checkpoint = demo.publish(source)
    config = (source / "config.json").stat().st_size
    ours = got(demo, lambda: downloaders.weightgate(demo, checkpoint, wanted, "--from", older))
    for path in (WEIGHTS, "config.json"):
        downloaders.require_same(source / path, wanted / path)
    shutil.rmtree(wanted)
    hub = got(demo, lambda: downloaders.hub(demo, checkpoint, scratch / "hub")) if downloaders.HF.exists() else None
    shutil.rmtree(source)
    cuts = [
        config + delta_pairs.fixed(base, model, CHUNK_BYTES),
        config + delta_pairs.fixed(base, model, SMALL_CHUNK_BYTES),
        config + delta_pairs.aligned(base, model, CHUNK_BYTES),
    ]
    verdict = "reached" if ours.fetched_bytes <= SLACK * cuts[0] else "NOT reached"
    told = [f"{ours.fetched_bytes / 1e6:,.1f}", f"{ours.seconds:.1f}", verdict]
    told += [f"{hub.fetched_bytes / 1e6:,.1f}", f"{hub.seconds:.1f}"] if hub else ["–", "–"]
    return [name, f"{size / 1e6:,.1f}", *[f"{cut / 1e6:,.1f}" for cut in cuts], *told]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--layers", type=int, default=24)
    asked.add_argument("--scratch", type=Path, help="a folder on the disk to download to [TMPDIR]")
    given = asked.parse_args()
    base = delta_pairs.gpt2(layers=given.layers)
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder, running_demo(Path(folder) / "data") as demo:
        scratch = Path(folder)
        delta_pairs.write(scratch / "source", base, {})
        checkpoint, older = demo.publish(scratch / "source"), scratch / "older"
        shutil.rmtree(scratch / "source")
        downloaders.weightgate(demo, checkpoint, older)
        if downloaders.HF.exists():
            downloaders.hub(demo, checkpoint, scratch / "hub")
        rows = []
        for name, model in delta_pairs.changes(base, given.layers).items():
            rows.append(measured(demo, str(older), base, name, model, scratch))
            print(rows[-1], flush=True)
    measure.write_section("delta", report(rows))


def report(rows: list[list[str]]) -> str:
    columns = [
        "change, MB", "file", "fixed 64 MiB", "fixed 8 MiB", "aligned to tensors", "weightgate --from", "s",
        "≤ 64 MiB chunks that changed + 1 %", "hf download", "s",
    ]  # fmt: skip
    missing = "" if downloaders.HF.exists() else "MISSING, not compared with: hf download.\n\n"
    how = f"{_HOW.replace(chr(10), ' ')} Load {os.getloadavg()[1]:.1f}."
    return "\n\n".join([measure.header(["cryptography"]), missing + how, measure.table(columns, rows)])


if __name__ == "__main__":
    main()
