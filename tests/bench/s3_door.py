"""What the S3 door costs: signatures, keys, entries, the proxy's CPU, and throughput beside the store's own.

Run: python -m tests.bench.s3_door [--megabytes 256] [--rounds 3]. Needs the environments of `python -m tests.prepare`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from server import settings
from server.domain.callers import Caller
from server.domain.downloads import keyed_downloads
from server.domain.downloads.keyed_downloads import KeyedFile
from server.domain.identity import authentication, s3_keys
from server.domain.resources import Resources
from server.storage import keys, signed_requests
from server.storage.signed_requests import Request
from tests import parts, s3
from tests.bench import measure
from tests.bench.demo import STAGE, Demo, running_demo, write_weights

RUNAI = Path(__file__).parents[1] / "interop" / "runai_load.py"
AIM = 0.9  # of the throughput straight from the store


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        with running_demo(folder / "demo") as demo:
            write_weights(folder / "weights", 4, options.megabytes * 1_000_000 // 4)
            checkpoint = demo.publish(folder / "weights")
            small = in_process(demo, checkpoint)
            big = throughput(demo, checkpoint, folder, options.rounds)
    report = "\n\n".join([measure.header(["boto3", "sqlalchemy"]), small, big])
    print(report)
    measure.write_section("s3 door", report)
    return 0


def in_process(demo: Demo, checkpoint: str) -> str:
    """Microseconds of one call each, on SQLite; the median of many."""
    use = Resources(settings.load(demo.folder))
    stranger = Caller(via="anonymous", address="127.0.0.1")
    caller, _ = authentication.identify(use, demo.known["tokens"]["cleared"], stranger)
    made = keyed_downloads.key_for(use, caller, STAGE)
    signed = s3.signed(made, "GET", f"/models/{STAGE}/config.json", {"range": "bytes=0-1"})
    headers = {name.lower(): str(value) for name, value in signed.headers.items()}
    request = Request("GET", f"/models/{STAGE}/config.json", headers)
    wanted = KeyedFile(STAGE, checkpoint, "config.json")

    def fetch(key: s3_keys.NewS3Key) -> None:
        keyed_downloads.fetch(use, caller, key.key, keyed_downloads.look(use, caller, key.key, wanted))

    fresh = iter([keyed_downloads.key_for(use, caller, STAGE) for _ in range(200)])
    fetch(made)
    rows = [
        ("signature alone", median(lambda: signed_requests.verify(request, lambda _: made.secret, datetime.now(UTC)))),
        ("signature and key", median(lambda: s3_keys.require_signed(use, request))),
        ("make a key (no decision)", median(lambda: s3_keys.mint(use, made.key.token_public_id, 1))),
        ("decide, log, sign: the first request of a key and file", median(lambda: fetch(next(fresh)), 200)),
        ("decide and sign: each later one", median(lambda: fetch(made))),
    ]
    use.close()
    return measure.table(["in process, SQLite", "µs"], [[name, f"{micros:,.0f}"] for name, micros in rows])


def median(work: Callable[[], object], count: int = 1000) -> float:
    """Microseconds of one call."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1e6


def throughput(demo: Demo, checkpoint: str, folder: Path, rounds: int) -> str:
    """Megabytes a second of each tool by the door and straight from the store, in turns, and the proxy's CPU."""
    known = demo.known
    publisher = keys.read_s3_credentials(demo.folder / "store" / "keys" / "publisher-s3.json")
    base = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    base |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
    by_door = base | {
        "AWS_ENDPOINT_URL": known["s3_door"],
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{known['endpoint']}/api/v1/credentials/{STAGE}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": f"Bearer {known['tokens']['cleared']}",
    }
    straight = base | {
        "AWS_ENDPOINT_URL": known["s3_endpoint"], "AWS_ACCESS_KEY_ID": publisher.access_key_id,
        "AWS_SECRET_ACCESS_KEY": publisher.secret_access_key,
    }  # fmt: skip
    in_store = f"{known['bucket']}/checkpoints/{STAGE}/{checkpoint}"
    ways = {"door": (by_door, f"models/{STAGE}@{checkpoint}"), "store": (straight, in_store)}
    total = sum(path.stat().st_size for path in (folder / "weights").iterdir()) / 1e6
    rows = []
    for tool, run in (("aws s3 cp", aws), ("runai-model-streamer", runai)):
        rates: dict[str, list[float]] = {way: [] for way in ways}
        cpu: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (environment, source) in ways.items():
                before, began = proxy_cpu_seconds(demo), time.monotonic()
                run(environment, source, folder)
                rates[way].append(total / (time.monotonic() - began))
                cpu[way].append((proxy_cpu_seconds(demo) - before) / total * 1000)
        door, store = statistics.median(rates["door"]), statistics.median(rates["store"])
        verdict = "met" if door / store >= AIM else "NOT met"
        figures = [f"{door:,.0f}", f"{store:,.0f}", f"{door / store:.2f} ({verdict})"]
        rows.append([tool, *figures, *(f"{statistics.median(cpu[way]):.2f}" for way in ways)])
    columns = ["tool", "MB/s by the door", "straight", f"× (aim ≥ {AIM})", "nginx CPU s/GB, door", "straight"]
    load = f"Load of this machine at the end: {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores."
    head = f"{total:,.0f} MB in 4 files, {rounds} rounds, medians; whole runs of the tools. {load}"
    return f"{head}\n\n{measure.table(columns, rows)}"


def proxy_cpu_seconds(demo: Demo) -> float:
    children = psutil.Process(demo.process.pid).children(recursive=True)
    return sum(sum(one.cpu_times()[:2]) for one in children if one.name() == "nginx")


def aws(environment: dict[str, str], source: str, folder: Path) -> None:
    target = folder / "copied"
    program = str(parts.S3_TOOL["aws"])
    command = [program, "s3", "cp", "--only-show-errors", "--recursive", f"s3://{source}", str(target)]
    subprocess.run(command, env=environment, check=True)
    shutil.rmtree(target)


def runai(environment: dict[str, str], source: str, folder: Path) -> None:
    more = {"RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0", "PYTHONPATH": str(parts.RUNAI_STREAMER.parent)}
    names = sorted(path.name for path in (folder / "weights").glob("*.safetensors"))
    command = [str(parts.TRANSFORMERS / "bin" / "python"), str(RUNAI), *(f"s3://{source}/{name}" for name in names)]
    done = subprocess.run(command, env=environment | more, check=True, capture_output=True)
    assert len(json.loads(done.stdout.splitlines()[-1])) > 0


if __name__ == "__main__":
    raise SystemExit(main())
