"""Targets: where a command writes. A disk that is full is named by what the operator gave, not by a file inside."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def writing_to(target: Path) -> Iterator[None]:
    """Run a block that writes there. Its OSError names the target: copying would name its source, a write nothing."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise OSError(error.errno, error.strerror, str(target)) from None
