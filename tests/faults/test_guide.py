"""deploy/README.md, followed: its commands, in their order, on PostgreSQL, Redis, nginx and somebody else's store."""

import re
from pathlib import Path

import pytest

from tests import guide
from tests.faults.guide_machine import machine
from tests.guide import Step, masked
from tests.postgres import PostgreSQL
from tests.redis_server import RedisServer

# What is not run here, and why. Each must be in the guide.
EXEMPT = {
    r"apt-get install|apt\.postgresql\.org\.sh": "installs Debian packages; the programs are here",
    r"^adduser|^usermod": "changes the machine's users; everything runs as the user of the tests",
    r"^git clone|^git -C": "fetches the repository that is tested here",
    r"^make -C": "installs what runs this test",
    r"# embedded store$|>> /etc/hosts": "the other choice of a store: tests/deploy/test_front.py",
    r"# private CA$": "changes whom the machine trusts",
    r"^certbot": "needs a public name; the machine has certificates of its own",
    r"/dev/stdin": "waits for a password that is pasted",
    r"reload prometheus": "no Prometheus runs here: tests/cli/test_metrics.py starts one",
    r"# AWS$": "reads a bucket with the access logs of AWS: tests/domain/delivery/test_reconciliation.py",
    r"# not cut yet$": "needs a hold whose URLs still work: tests/cli/test_hold.py",
    r"log resume": "needs a stopped log: tests/cli/test_log.py",
    r"propose-rotation --abandon": "is for a log that cannot go on: tests/domain/audit/test_rotation.py",
    r"# the number that was printed$": "approves that",
    r"# abandons the log$": "needs a log that cannot go on: tests/domain/audit/test_rotation.py",
    r"acknowledge-clock": "needs a clock that was wrong: tests/cli/test_log.py",
    r"log archive": "needs a month that was over 90 days ago: tests/cli/test_log.py",
    r"log verify --months": "needs an archived month: tests/cli/test_log.py",
    r"log erase": "names an entry that is not there: tests/cli/test_log.py",
    r"--format parquet": "names a month that may not be there: tests/cli/test_log.py",
    r"export verify": "names a key that only that log has: tests/cli/test_export.py",
    r"^weightgate (login|download)": "a person approves it in a browser: tests/e2e/test_client_device.py",
    r"finding erase": "names a finding that is not there: tests/domain/release/test_finding_erasure.py",
}


def exempt(step: Step) -> str | None:
    """Why a command is not run; None for one that is."""
    return next((reason for pattern, reason in EXEMPT.items() if re.search(pattern, step.command)), None)


def test_every_exemption_is_of_a_command_that_is_there() -> None:
    """A pattern that fits nothing would excuse the next command that it fits."""
    commands = [step.command for step in guide.steps()]
    assert [pattern for pattern in EXEMPT if not any(re.search(pattern, command) for command in commands)] == []


@pytest.mark.fault
def test_the_guide_is_followed_from_its_first_command_to_its_last(
    tmp_path: Path, postgres: PostgreSQL, redis_server: RedisServer
) -> None:
    """Every command ends well, shown outputs are those that come, and the partner's fetches are found in nginx' log."""
    reconciled = ""
    with machine(tmp_path, postgres, redis_server) as here:
        for step in guide.steps():
            if exempt(step) is not None:
                continue
            if "weightgate-server restore" in step.command:
                here.new_database()
            code, written = here.follow(step)
            assert code == 0, f"{step}\n{written}\n{logs(tmp_path)}"
            reconciled += written if "log reconcile" in step.command else ""
            if step.output:
                assert masked(written) == masked(step.output), step
    assert "10 new reads of downloads, 5191954 bytes; 0 of no download." in reconciled


def logs(root: Path) -> str:
    """What the services said."""
    return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in sorted((root / "run").glob("*.log")))
