"""Meter files: one for each process, added up by others, and never in the way of who counts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.storage import meter_files
from server.storage.meter_files import Counted, Place

SERIES = ("weightgate_refusals", ("not_cleared",))
HOLDS = """
import sys, time
from pathlib import Path
from server.storage.meter_files import Counted, Place
place = Place(Path(sys.argv[1]), "web")
place.write(Counted({("weightgate_refusals", ("not_cleared",)): 3}, {}, {("state", ("web",)): 1}))
print("held", flush=True)
time.sleep(60)
"""


def test_processes_of_a_kind_have_a_place_each(tmp_path: Path) -> None:
    """Two that run at once never write the same file; a place that is given back is taken by the next."""
    folder = tmp_path / "metrics"
    first, second = Place(folder, "web"), Place(folder, "web")
    other = Place(folder, "worker")
    assert [seen.name for seen in meter_files.read(folder)] == ["web-1", "web-2", "worker-1"]
    assert {seen.pid for seen in meter_files.read(folder)} == {os.getpid()}
    first.close()
    again = Place(folder, "web")
    assert [seen.pid for seen in meter_files.read(folder)] == [os.getpid()] * 3
    for place in (again, second, other):
        place.close()
    assert folder.stat().st_mode & 0o077 == 0


def test_who_was_killed_leaves_its_sums_and_not_its_states(tmp_path: Path) -> None:
    """The lock dies with the process, however it dies: its gauges go, and its successor goes on from its sums."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        (seen,) = meter_files.read(tmp_path)
        assert (seen.pid, len(seen.counted.states)) == (holder.pid, 1)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        holder.stdout.close()
    (seen,) = meter_files.read(tmp_path)
    assert (seen.pid, seen.counted.states, seen.counted.sums) == (None, {}, {SERIES: 3})
    place = Place(tmp_path, "web")
    assert place.earlier() == Counted({SERIES: 3})
    place.close()


@pytest.mark.parametrize("text", [b"", b"[", b"[1]", b"[[],[]]", b'[[["a"]],[],[]]', b"null"])
def test_a_file_that_cannot_be_read_counts_as_nothing(tmp_path: Path, text: bytes) -> None:
    """Neither who serves the metrics nor the next process fails on it."""
    place = Place(tmp_path, "web")
    (tmp_path / "web-1.json").write_bytes(text)
    assert [seen.counted for seen in meter_files.read(tmp_path)] == [Counted()]
    assert place.earlier() == Counted()
    place.close()
