"""Where there is room in memory, tests keep their files there: a third of what they cost was writing to a disk.

Nothing is proven by the disk itself: a test that kills a process takes no more from it than what it had not yet handed
over. Set TMPDIR to keep files elsewhere.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
PREFIX = "weightgate-tests-"
ROOM_BYTES = 8 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Before the first file is made, and for the workers of xdist, which inherit it."""
    if hasattr(config, "workerinput") or "TMPDIR" in os.environ or not _has_room():
        return
    for left in MEMORY.glob(f"{PREFIX}*"):  # by runs that failed or were killed
        if left == _of(os.getpid()) or not Path(f"/proc/{left.name.removeprefix(PREFIX)}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = _of(os.getpid())
    folder.mkdir(mode=0o755)  # PostgreSQL runs as somebody else
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """What a run leaves that failed stays for whoever looks into it, until the next one."""
    if exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(_of(os.getpid()), ignore_errors=True)


def _of(process: int) -> Path:
    return MEMORY / f"{PREFIX}{process}"


def _has_room() -> bool:
    if not MEMORY.is_dir():
        return False
    there = os.statvfs(MEMORY)
    if there.f_flag & os.ST_NOEXEC or there.f_bavail * there.f_frsize < ROOM_BYTES:
        return False
    known = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(known["MemAvailable"].split()[0]) << 10 >= ROOM_BYTES
