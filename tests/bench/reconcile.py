"""How fast access logs are reconciled: a million lines of each kind, to rows that are committed.

Run: python -m tests.bench.reconcile [--lines N] [--rounds N]
"""

import argparse
import random
import sys
import tempfile
import time
import tracemalloc
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete

from server.cli import instance
from server.domain.delivery.deliveries import Delivery
from server.domain.delivery.reconciliation import Summary, reconcile
from server.domain.delivery.seen_reads import SeenMinute
from server.domain.resources import Resources
from server.log import entries
from server.storage import access_log_sources
from server.storage.access_logs import Tally
from tests.access_log_lines import CLOUDFRONT_HEAD, Wanted, cloudfront_line, embedded_line, s3_line
from tests.bench import measure

TARGET = 200_000  # lines a second
DOWNLOADS, FILES, ACTIVE = 2000, 30, 40  # downloads that are being fetched at the same time
SHARD_BYTES = 4_967_535_616
MAKERS = {"S3": s3_line, "CloudFront": cloudfront_line, "embedded": embedded_line}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        use = _instance(folder)
        paths = _write_logs(use, folder, options.lines)
        cases = [case for kind, path in paths.items() for case in _cases(use, kind, path)]
        outcomes = measure.interleave(cases, rounds=options.rounds, seconds=0, warm_up_seconds=0)
        peak = _peak_mib(use, paths["S3"])
        use.close()
    report = _report(outcomes, options.lines, peak)
    print(report)
    measure.write_section("reconcile", report)
    return 0


def _instance(folder: Path) -> Resources:
    made = instance.write_settings(
        folder,
        {"public_url": "http://localhost:8080", "contact": "bench", "log_host": "localhost", "s3_bucket": "weights"},
    )
    instance.write_schema(made)
    use = Resources(made)
    with use.database.transaction() as session:
        entries.open_log(session, "localhost/downloads/bench+", "", use.clock())
    return use


def _write_logs(use: Resources, folder: Path, lines: int) -> dict[str, Path]:
    """Write the same requests as three logs, and the downloads that they belong to."""
    began = use.clock().replace(microsecond=0) - timedelta(hours=24)
    keys = [f"checkpoints/gpt-2/774M/{'5e' * 20}/model-{n:05}-of-{FILES:05}.safetensors" for n in range(FILES)]
    ids = [str(uuid.UUID(int=random.getrandbits(128), version=4)) for _ in range(DOWNLOADS)]
    files = [{"path": k.rpartition("/")[2], "size_bytes": SHARD_BYTES, "sha256": "", "object_key": k} for k in keys]
    with use.database.transaction() as session:
        for number, download_id in enumerate(ids):
            record = {
                "actor": {"address": "192.0.2.1"}, "download": download_id, "model": "gpt-2", "stage": "774M",
                "files": files, "lifetime_seconds": 900,
            }  # fmt: skip
            at = began + timedelta(hours=24) * number / DOWNLOADS
            entries.append(session, kind="download", at=at, record=record, subject=download_id)
    paths = {kind: folder / f"{kind}.log" for kind in MAKERS}
    streams = {kind: path.open("w", encoding="utf-8") for kind, path in paths.items()}
    streams["CloudFront"].write(CLOUDFRONT_HEAD)
    for wanted in _requests(ids, keys, began, lines):
        for kind, stream in streams.items():
            stream.write(MAKERS[kind](wanted) + "\n")
    for stream in streams.values():
        stream.close()
    return paths


def _requests(ids: list[str], keys: list[str], began: datetime, lines: int) -> Iterator[Wanted]:
    """Ranges of 8 MiB: some forty downloads go on at a time, each by one client, four files at once; 3 % refused."""
    chance = random.Random(7)  # noqa: S311
    for number in range(lines):
        share = number / lines
        place = share * DOWNLOADS + chance.random() * ACTIVE - ACTIVE
        which = min(max(0, int(place)), DOWNLOADS - 1)
        progress = min(0.99, max(0.0, share * DOWNLOADS - which) / ACTIVE)
        refused = chance.random() < 0.03
        yield Wanted(
            at=(began + timedelta(hours=24) * share).astimezone(UTC),
            key=keys[min(FILES - 1, int(progress * FILES) + chance.randrange(4))],
            download_id=ids[which],
            bytes_sent=243 if refused else 8 << 20,
            request_id=f"{chance.getrandbits(64):016X}",
            address=f"192.0.2.{which % 200}",
            status=403 if refused else 206,
        )


def _cases(use: Resources, kind: str, path: Path) -> list[measure.Case]:
    def timed(name: str, again: bool, only_parse: bool = False) -> measure.Case:
        def turn(_seconds: float) -> measure.Turn:
            if not again:
                _forget(use)
            cpu, start = time.process_time(), time.perf_counter()
            lines = _parse(path) if only_parse else _checked(reconcile(use, [str(path)]), again)
            elapsed = time.perf_counter() - start
            spent = time.process_time() - cpu
            return measure.Turn(lines / elapsed, spent, {"wall": elapsed})

        return measure.Case(name, turn)

    cases = [timed(f"{kind}, parsed only", again=True, only_parse=True), timed(f"{kind}, reconciled", again=False)]
    return [*cases, timed("S3, read a second time", again=True)] if kind == "S3" else cases


def _checked(summary: Summary, again: bool) -> int:
    counted = summary.duplicates if again else summary.matched
    if counted + summary.other != summary.lines or summary.unreadable or summary.unmatched:
        raise RuntimeError(f"not what was written: {summary}")
    return summary.lines


def _parse(path: Path) -> int:
    tally = Tally()
    for source in access_log_sources.expand([str(path)], lambda _: None):  # type: ignore[arg-type,return-value]
        for _ in access_log_sources.reads(source, tally):
            pass
    return tally.lines


def _forget(use: Resources) -> None:
    with use.database.transaction() as session:
        session.execute(delete(Delivery))
        session.execute(delete(SeenMinute))


def _peak_mib(use: Resources, path: Path) -> float:
    """Return how much memory Python's objects took at most, in a run of its own: watching them is slow."""
    _forget(use)
    tracemalloc.start()
    reconcile(use, [str(path)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def _report(outcomes: dict[str, measure.Outcome], lines: int, peak_mib: float) -> str:
    rows = [
        [outcome.name, f"{outcome.rate:,.0f}", f"{_per_cpu(outcome):,.0f}", f"{outcome.spread:.2f}"]
        for outcome in outcomes.values()
    ]
    reached = _per_cpu(outcomes["S3, reconciled"])
    parts = (
        measure.header(["numpy", "orjson", "sqlalchemy"]),
        f"{lines:,} lines of each log, of {DOWNLOADS:,} downloads of {FILES} files; SQLite (FULL), one thread.",
        measure.table(["log", "lines/s", "lines a CPU second", "max/min"], rows),
        f"Aim, ≥ {TARGET:,} lines/s on one core: {'met' if reached >= TARGET else 'not met'} for S3 ({reached:,.0f}).",
        f"Memory of Python's objects at most, S3: {peak_mib:.0f} MiB.",
        measure.noise(list(outcomes.values())),
    )
    return "\n\n".join(parts)


def _per_cpu(outcome: measure.Outcome) -> float:
    """Lines a second of this process' own time: what others on the machine took does not count against it."""
    rates = sorted(turn.rate * turn.figures["wall"] / turn.cpu_seconds for turn in outcome.turns)
    return rates[len(rates) // 2]


if __name__ == "__main__":
    sys.exit(main())
