"""Parent death: a child ends with a parent that was killed, and one that came too late never starts."""

import subprocess
import sys

KILLED = """
import signal, subprocess, sys
from server.storage.parent_death import ending_with_parent
child = [sys.executable, "-c", "import time; time.sleep(30); print('lived on')"]
with subprocess.Popen(child, preexec_fn=ending_with_parent(signal.SIGTERM)):
    print("started", flush=True)
"""
TOO_LATE = """
import os, signal
from server.storage.parent_death import ending_with_parent
arrange = ending_with_parent(signal.SIGTERM)
if not os.fork():  # the one below has another parent than `arrange` was made for
    if not os.fork():
        arrange()
        print("started all the same", flush=True)
        os._exit(0)
    print("ended with", os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_child_ends_with_its_killed_parent() -> None:
    """kill -9 lets the parent tidy up nothing; the pipe that both hold is closed once both are gone."""
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        parent.kill()
        assert parent.stdout.read() == ""


def test_a_child_whose_parent_is_gone_already_does_not_start() -> None:
    """The system signals no death that was before it was asked to."""
    told = subprocess.run([sys.executable, "-c", TOO_LATE], stdout=subprocess.PIPE, text=True, check=True)
    assert told.stdout == "ended with 1\n"
