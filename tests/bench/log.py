"""The log as it grows: issuing and paging at 10,000 and at 1,000,000 entries, sealing, and verifying all of it.

On SQLite, in this process: what HTTP costs is `issue.py`'s to say.
"""

import argparse
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import islice
from pathlib import Path

import orjson
from sqlalchemy import insert, select

from server.domain.audit import log_entries, logs, replay, sealer
from server.domain.audit.log_entries import EntryFilter
from server.domain.callers import Caller
from server.domain.downloads import issuing
from server.domain.downloads.issuing import Order
from server.domain.identity import people
from server.domain.paging import Slice
from server.domain.resources import Resources
from server.log import canonical, sealing, verification
from server.log.entries import LogEntry, commitment_of
from server.log.notes import VerifierKey
from server.storage.embedded import EmbeddedStore, free_port
from tests.bench import measure
from tests.templates import Template, build_template
from tests.world import write_settings

SIZES = (10_000, 1_000_000)
AT_ONCE = 20_000  # rows that are inserted together
STAGE, PATH = "gpt-2/774M", "hparams.json"
LEAVES_TARGET, VERIFY_TARGET_SECONDS, GROWTH_TARGET = 50_000, 30.0, 1.2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS)
    parser.add_argument("--seconds", type=float, default=measure.ROUND_SECONDS, help="of each turn")
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES, metavar=("SMALL", "LARGE"))
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(EmbeddedStore(folder / "store", free_port(), "weights"))
        template = build_template("sqlite", folder, f"sqlite:///{folder}/template.sqlite3", store)
        logs_of_size = {size: Grown(template, folder / str(size), size) for size in options.sizes}
        small, large = options.sizes
        cases = [case for size in options.sizes for case in logs_of_size[size].cases()]
        outcomes = measure.interleave(
            cases, rounds=options.rounds, seconds=options.seconds, between=lambda: _seal_all(logs_of_size.values())
        )
        verified = {size: grown.verify() for size, grown in logs_of_size.items()}
        report = _report(outcomes, logs_of_size, verified, small, large)
        for grown in logs_of_size.values():
            grown.use.close()
    print(report)
    measure.write_section("log", report)
    return 0


class Grown:
    """The worked example with a log of so many entries, nearly all of them downloads, sealed and measured while so."""

    def __init__(self, template: Template, folder: Path, size: int) -> None:
        folder.mkdir()
        path = folder / "weightgate.sqlite3"
        shutil.copyfile(template.settings.database_url.removeprefix("sqlite:///"), path)
        self.size = size
        self.use = Resources(write_settings(template, folder, f"sqlite:///{path}"))
        owner = template.example.people["cleared"]
        self._caller = people.sign_in_for_command(self.use, owner["email"], owner["password"])
        self._fill()
        began, cpu = time.perf_counter(), time.process_time()
        sealed = self.seal()
        self.leaves_a_second = sealed / (time.perf_counter() - began)
        self.leaves_a_cpu_second = sealed / (time.process_time() - cpu)

    def seal(self) -> int:
        return sealer.seal(self.use)

    def cases(self) -> Iterator[measure.Case]:
        """One issue; the first page of an organization's entries; a page from the middle of the log's life."""
        yield measure.in_process(f"issue one file, {self.size:,} entries", self._issue)
        yield measure.in_process(f"page of 50, newest, {self.size:,} entries", lambda: self._page(None))
        yield measure.in_process(f"page of 50, middle, {self.size:,} entries", lambda: self._page(self.size // 2))
        yield measure.in_process(f"page of 50, by person, {self.size:,} entries", self._page_of_a_person)

    def verify(self) -> float:
        """Return the seconds that verifying bytes and meaning takes. Raises RuntimeError for any fault."""
        began = time.perf_counter()
        with self.use.database.reading() as session:
            log = logs.current(session)
            faults = [
                *verification.verify(session, log, VerifierKey.parse(log.vkey)),
                *replay.verify(session, log, self.use.settings.second_person_tier),
            ]
        if faults:
            raise RuntimeError(f"the log does not verify: {faults[:3]}")
        return time.perf_counter() - began

    def _issue(self) -> int:
        issuing.issue(self.use, self._caller, Order(STAGE, paths=[PATH]))
        return 1

    def _page(self, after: int | None) -> int:
        return self._listed(EntryFilter(organization=self._caller.organization), after)

    def _page_of_a_person(self) -> int:
        return self._listed(EntryFilter(person=self._caller.person), self.size // 2)

    def _listed(self, wanted: EntryFilter, after: int | None) -> int:
        with self.use.database.reading() as session:
            found = log_entries.visible(session, self._caller, wanted, Slice(50, after))
        if len(found.items) != 50:
            raise RuntimeError("that was no page")
        return 1

    def _fill(self) -> None:
        """Downloads as they are issued, written by the thousand: each with its own id, time, salt and commitment."""
        issued = issuing.issue(self.use, self._caller, Order(STAGE, paths=[PATH]))
        with self.use.database.reading() as session:
            first = session.scalars(select(LogEntry).where(LogEntry.subject == issued.id)).one()
            present = session.query(LogEntry).count()
        rows = _rows(first, self._caller, self.size - present)
        while some := list(islice(rows, AT_ONCE)):
            with self.use.database.transaction() as session:
                session.execute(insert(LogEntry.__table__), some)  # type: ignore[arg-type]  # a table it is


def _rows(first: LogEntry, caller: Caller, count: int) -> Iterator[dict[str, object]]:
    record, at = orjson.loads(first.record), first.appended_at
    for number in range(count):
        moment = at + timedelta(milliseconds=number // 1000)
        download_id = str(uuid.UUID(int=number, version=4))
        content = canonical.encode({**record, "download": download_id, "time": int(moment.timestamp() * 1000)})
        salt = number.to_bytes(32, "big")  # a bench keeps no secrets
        yield {
            "log_id": first.log_id, "kind": first.kind, "subject": download_id,
            "organization_id": first.organization_id, "person": caller.person, "stage": first.stage,
            "code": None, "appended_at": moment, "record": content, "salt": salt,
            "commitment": commitment_of(salt, content), "leaf_index": None,
        }  # fmt: skip


def _seal_all(grown: Iterable[Grown]) -> None:
    for one in grown:
        one.seal()


def _report(
    outcomes: dict[str, measure.Outcome], grown: dict[int, Grown], verified: dict[int, float], small: int, large: int
) -> str:
    names = [name.rpartition(", ")[0] for name in outcomes if name.endswith(f"{small:,} entries")]
    rows, growth = [], {}
    for name in names:
        few, many = outcomes[f"{name}, {small:,} entries"], outcomes[f"{name}, {large:,} entries"]
        growth[name] = many.times(few)
        costs = [f"{1000 / few.rate:.3f}", f"{1000 / many.rate:.3f}", f"{1 / growth[name]:.2f}"]
        rows.append([name, *costs, f"{max(few.spread, many.spread):.2f}"])
    worst = max(1 / ratio for ratio in growth.values())
    leaves = grown[large].leaves_a_cpu_second
    flat, sealed = _met(worst <= GROWTH_TARGET), _met(leaves >= LEAVES_TARGET)
    quick = _met(verified[large] <= VERIFY_TARGET_SECONDS)
    cost = f"issue and page at {large:,} entries ≤ {GROWTH_TARGET} × their cost at {small:,}"
    seal = f"sealing, committed, ≥ {LEAVES_TARGET:,} leaves a second of a core"
    by_clock = f"by the clock {grown[large].leaves_a_second:,.0f}"
    whole = f"verifying {large:,} entries, bytes and meaning, ≤ {VERIFY_TARGET_SECONDS:.0f} s"
    targets = [
        f"{cost} (worst {worst:.2f}): {flat}",
        f"{seal} (is {leaves:,.0f}; {by_clock}): {sealed}",
        f"{whole} (is {verified[large]:.1f}): {quick}",
    ]
    parts = (
        measure.header(["sqlalchemy", "orjson", "cryptography"]),
        f"SQLite, synchronous=FULL, one process; {sealing.ENTRIES_A_ROUND} leaves a sealing round.",
        measure.table(["ms each", f"{small:,} entries", f"{large:,} entries", "×", "max/min"], rows),
        "\n".join(f"- {target}" for target in targets),
        measure.noise(list(outcomes.values())),
    )
    return "\n\n".join(parts)


def _met(reached: bool) -> str:
    return "met" if reached else "NOT met"


if __name__ == "__main__":
    sys.exit(main())
