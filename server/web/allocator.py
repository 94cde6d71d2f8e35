"""What glibc's allocator keeps for the threads of a process.

It gives nearly every thread an arena of its own, up to eight for each core, and what is free in one is lost to threads
of another. gunicorn starts a thread whenever more requests come at once than ever before: each made a web process 0.4
to 1.2 MB larger, after hours, too.
"""

import ctypes

ARENAS = 2  # the main one, and one for all threads; Python runs only one of those at a time
_M_ARENA_MAX = -8  # malloc.h


def limit_arenas(most: int = ARENAS) -> bool:
    """Let the threads that start from now on share this many arenas; False where the allocator is not glibc's."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, most))
    except (AttributeError, TypeError):
        return False
