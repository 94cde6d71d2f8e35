"""How every bench measures: cases in turns, medians and their ratios, and whether something else used the machine."""

import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import psutil

RESULTS = Path(__file__).with_name("RESULTS.md")
ROUNDS = 5
ROUND_SECONDS = 4.0
FOREIGN_CORES_MAX = 0.3
SPREAD_MAX = 2.0  # fastest round over slowest

_KERNEL = "kthreadd"  # process 2, of which each thread of the kernel is a child; in a container it is not to be seen
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Turn:
    """What one case did in one round.

    rate: units a second. cpu_seconds: of every process that belongs to the case. What else the bench started, servers
    that wait for their own turn and processes that have ended, is counted by `interleave`.
    figures: whatever else the case knows, such as p99_ms; medians are taken of each.
    """

    rate: float
    cpu_seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One thing to measure. `measure` gets the seconds that a turn should last; `in_process` makes one from a function.

    A case that drives servers measures itself: it runs its load, sums the CPU time, and returns the Turn.
    """

    name: str
    measure: Callable[[float], Turn]


@dataclass(frozen=True)
class Outcome:
    """All turns of one case, and the cores that strangers used during each, and the kernel's own threads.

    Those write to disks and handle the network for whoever has asked for it, which nobody can tell them apart by.
    """

    name: str
    turns: Sequence[Turn]
    foreign_cores: Sequence[float]
    kernel_cores: Sequence[float]

    @property
    def rate(self) -> float:
        return statistics.median(turn.rate for turn in self.turns)

    @property
    def spread(self) -> float:
        rates = [turn.rate for turn in self.turns]
        return max(rates) / min(rates) if min(rates) > 0 else float("inf")

    @property
    def foreign(self) -> float:
        return statistics.median(self.foreign_cores)

    @property
    def kernel(self) -> float:
        return statistics.median(self.kernel_cores)

    @property
    def is_noisy(self) -> bool:
        return self.foreign > FOREIGN_CORES_MAX or self.spread > SPREAD_MAX

    def figure(self, name: str) -> float:
        return statistics.median(turn.figures[name] for turn in self.turns)

    def times(self, other: "Outcome") -> float:
        """Return how many times the other's rate this one reaches. Only outcomes of one run may be compared."""
        return self.rate / other.rate


def in_process(name: str, work: Callable[[], int], beside: Callable[[], float] = lambda: 0.0) -> Case:
    """A case that calls `work` again and again in this process. `work` returns how many units one call did.

    beside: CPU seconds up to now of what works for it in other processes, such as a database. Figures: `done`, and
    `own_us` and `beside_us`, the CPU microseconds a unit.
    """

    def measure(seconds: float) -> Turn:
        count = 0
        there, cpu_start, start = beside(), time.process_time(), time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            count += work()
        own, theirs = time.process_time() - cpu_start, beside() - there
        figures = {"done": count, "own_us": 1e6 * own / count, "beside_us": 1e6 * theirs / count}
        return Turn(count / elapsed, own + theirs, figures)

    return Case(name, measure)


def interleave(
    cases: Sequence[Case],
    *,
    rounds: int = ROUNDS,
    seconds: float = ROUND_SECONDS,
    warm_up_seconds: float = 0.5,
    between: Callable[[], None] = lambda: None,
) -> dict[str, Outcome]:
    """Warm every case up, then measure A B C, A B C, …, so that a slow minute meets all alike. Outcomes by name.

    warm_up_seconds: 0 for none.
    between: called after each turn, for example to let servers drain.
    """
    for case in cases if warm_up_seconds else ():
        case.measure(warm_up_seconds)
        between()
    turns: dict[str, list[Turn]] = {case.name: [] for case in cases}
    foreign: dict[str, list[float]] = {case.name: [] for case in cases}
    kernel: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(rounds):
        for case in cases:
            before, start = _Used.now(), time.perf_counter()
            turn = case.measure(seconds)
            used, elapsed = _Used.now().since(before), time.perf_counter() - start
            strangers = used.machine - used.kernel - max(used.bench, turn.cpu_seconds)
            turns[case.name].append(turn)
            foreign[case.name].append(max(0.0, strangers / elapsed))
            kernel[case.name].append(max(0.0, used.kernel / elapsed))
            between()
    return {case.name: Outcome(case.name, turns[case.name], foreign[case.name], kernel[case.name]) for case in cases}


def tree_seconds(root: int) -> float:
    """CPU seconds of a process and of all that it has started, of those that have ended as well."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(root)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                # The last two are of its children that have ended: a database's backend, a round of vacuum, a load.
                total += times.user + times.system + times.children_user + times.children_system
    return total


def noise(outcomes: Sequence[Outcome]) -> str:
    """Return a line on how quiet the machine was, beginning with NOISY where the figures should not be quoted."""
    foreign = max(outcome.foreign for outcome in outcomes)
    spread = max(outcome.spread for outcome in outcomes)
    kernel = max(outcome.kernel for outcome in outcomes)
    verdict = "NOISY: measure again" if any(outcome.is_noisy for outcome in outcomes) else "Quiet enough"
    return (
        f"{verdict}. Others used up to {foreign:.2f} core, the kernel's own threads {kernel:.2f}; "
        f"fastest over slowest round at most {spread:.2f}."
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column names, the others are figures."""
    marks = ["---"] + ["---:"] * (len(columns) - 1)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, marks, *rows))


def header(distributions: Sequence[str]) -> str:
    """Return one line on machine, versions and commit: figures without it mean nothing."""
    parts = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"{os.cpu_count()} × {_processor()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        *(f"{name} {version(name)}" for name in distributions),
        f"commit {_commit()}",
    ]
    return ", ".join(parts)


def write_section(name: str, text: str, path: Path = RESULTS) -> None:
    """Replace the section `## name` of the results, or add it at the end; every other section stays as it is."""
    old = path.read_text() if path.exists() else "# Measured\n\nWritten by `make bench`; never by hand.\n"
    start, *sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    heading = f"## {name}\n"
    section = f"{heading}\n{text.strip()}\n\n"
    is_new = not any(existing.startswith(heading) for existing in sections)
    kept = [section if existing.startswith(heading) else existing.rstrip() + "\n\n" for existing in sections]
    content = start.rstrip() + "\n\n" + "".join(kept) + (section if is_new else "")
    beside = path.with_suffix(".new")
    beside.write_text(content.rstrip() + "\n")
    beside.replace(path)


class _Used(NamedTuple):
    """CPU seconds so far: of the whole machine, of the kernel's own threads, of all that this bench has started."""

    machine: float
    kernel: float
    bench: float

    @classmethod
    def now(cls) -> "_Used":
        sees_kernel = psutil.pid_exists(2) and psutil.Process(2).name() == _KERNEL
        return cls(_busy_seconds(), tree_seconds(2) if sees_kernel else 0.0, tree_seconds(os.getpid()))

    def since(self, before: "_Used") -> "_Used":
        return _Used(*(now - then for now, then in zip(self, before, strict=True)))


def _busy_seconds() -> float:
    """CPU seconds that the whole machine has worked since boot, what its host took away included."""
    user, nice, system, _, _, interrupts, soft_interrupts, stolen, *_ = (
        int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS_PER_SECOND


def _processor() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), flags=re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    commit = git("rev-parse", "--verify", "--quiet", "--short", "HEAD") or "none yet"
    # The results file itself is what a bench changes.
    changes = git("status", "--porcelain", "--", ":/", f":!{RESULTS.name}")
    return f"{commit} with uncommitted changes" if changes else commit
