"""Five sealers at once that die at their commits, each of them anew: python -m tests.faults.crashing_sealers DIR SEED.

Runs until SIGTERM, then prints how many rounds were committed and how often which crash happened, as JSON.
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from server import settings
from server.domain.audit import sealer
from server.domain.resources import Resources
from server.storage.database import DATABASE_ERRORS, DatabaseUnavailable

SEALERS = 5
CRASH_PROBABILITY = 0.03  # at each commit, before it and after it
BEFORE, AFTER, ENDED = 101, 102, 0  # exit codes
NAMES = {BEFORE: "crashed before COMMIT", AFTER: "crashed after COMMIT", ENDED: "ended"}


def crashing(commit: Any, chance: random.Random) -> Any:
    """Return what stands in for a dialect's commit."""

    def commit_or_crash(connection: Any) -> None:
        if chance.random() < CRASH_PROBABILITY:
            os._exit(BEFORE)
        commit(connection)
        if chance.random() < CRASH_PROBABILITY:
            os._exit(AFTER)

    return commit_or_crash


def seal_until_crash(folder: Path, seed: int, end: int) -> None:
    """Seal without a pause, in a process of its own, and tell each round by a byte."""
    use = Resources(settings.load(folder)).as_sealer()
    dialect: Any = use.database._writer.dialect
    dialect.do_commit = crashing(dialect.do_commit, random.Random(seed))  # noqa: S311  # no secret
    while True:
        try:
            if sealer.seal(use):
                os.write(end, b".")
        except (DatabaseUnavailable, *DATABASE_ERRORS):
            continue
        time.sleep(0.001)


def start(folder: Path, seed: int, end: int) -> int:
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        seal_until_crash(folder, seed, end)
    finally:
        os._exit(1)  # an error of any other kind, which the test sees


def main() -> None:
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
    told, end = os.pipe()
    os.set_blocking(told, False)
    running = {start(folder, seed + number, end) for number in range(SEALERS)}
    ends: Counter[str] = Counter()
    rounds = 0
    while not ending:
        time.sleep(0.002)
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            running.remove(child)
            ends[NAMES.get(os.waitstatus_to_exitcode(status), "failed")] += 1
            seed += SEALERS
            running.add(start(folder, seed, end))
        rounds += _count(told)
    for child in running:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(json.dumps({"rounds": rounds + _count(told), **ends}))


def _count(told: int) -> int:
    try:
        return len(os.read(told, 1 << 16))
    except BlockingIOError:
        return 0


if __name__ == "__main__":
    main()
