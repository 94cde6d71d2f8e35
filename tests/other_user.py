"""A moment as somebody else: for what a file's owner, and above all root, would never notice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """Close a folder to this process: by becoming another user, which only root can, or by its mode."""
    mode = folder.stat().st_mode
    folder.chmod(0o700 if os.geteuid() == 0 else 0)
    was = os.geteuid()
    if was == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(was)
        folder.chmod(mode)
