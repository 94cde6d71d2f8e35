"""Parent death: children that do not outlive a parent which was killed and could tidy up nothing."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def ending_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does before it starts (`preexec_fn`) so that it gets this signal when we end.

    It ends with the thread that starts it. Elsewhere than on Linux None: the caller finds out who is left otherwise.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return arrange
