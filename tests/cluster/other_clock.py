"""A web server with a clock of its own: gunicorn tests.cluster.other_clock:app, as `server.wsgi:app` but for its clock.

Nothing in the server reads the time but by the clock of its resources. A file says how many seconds that one is ahead.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

from server import app_over, logger, settings
from server.domain.resources import Resources, utc_now

AHEAD_FILE = "CLOCK_AHEAD_FILE"


def ahead() -> datetime:
    """The time as this machine has it."""
    return utc_now() + timedelta(seconds=int(Path(os.environ[AHEAD_FILE]).read_text(encoding="ascii")))


if AHEAD_FILE in os.environ:
    loaded = settings.load(Path(os.environ["WEIGHTGATE_DATA"]))
    logger.configure(loaded.logger_level)
    app = app_over(Resources(loaded, ahead))
