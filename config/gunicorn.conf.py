"""gunicorn for Weightgate: `gunicorn -c config/gunicorn.conf.py server.wsgi:app`, with WEIGHTGATE_DATA set.

What differs between machines is read from the instance's settings; the rest is the same everywhere and stands here.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

from gunicorn import glogging

# Before gunicorn opens its socket: to import this takes longest, and a socket takes requests, whether or not anybody is
# there to answer them. The workers share its memory, and one that is started again answers at once.
import server.web.app  # noqa: F401
from server import logger, settings
from server.domain.operation import nodes
from server.domain.resources import Resources
from server.web import cores, memory

memory.limit_arenas()  # before any thread; the workers inherit it

_settings = settings.load(Path(os.environ.get("WEIGHTGATE_DATA", "var")))
logger.configure(_settings.logger_level)

bind = _settings.listen
workers = _settings.web_workers
# Threads, not greenlets: a commit waits for the disk, and that stalls every greenlet of a process. Slow clients are
# waited for outside of the threads, each for 20 s, and up to so many in each process.
worker_class = "server.web.patient_worker.PatientWorker"
threads = _settings.web_threads
worker_connections = 1000
# Each worker opens the database and keys itself: nothing of that may be shared across a fork. Only code is (see above).
preload_app = False
# A heartbeat file on a slow disk would get healthy workers killed.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108

timeout = 30
graceful_timeout = 10
keepalive = 5
max_requests = 200_000
max_requests_jitter = 20_000

# Bounds on what a client may send before we look at it.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190

# Client addresses are taken from trusted proxies by ourselves (settings: trusted_proxies), never by gunicorn.
forwarded_allow_ips = ""
proxy_allow_ips = ""

# No access log of gunicorn's: `access_lines` in the settings has ours write one (server/web/observing.py).
accesslog = None
errorlog = "-"
loglevel = _settings.logger_level
proc_name = "weightgate-web"

# No socket for `gunicornc` in a home folder: whoever opens it can stop us, and two instances would fight over it.
control_socket_disable = True


def pre_fork(server: Any, worker: Any) -> None:
    """In the master, which knows the core and the slot of each worker that runs."""
    running = server.WORKERS.values()
    worker.slot = worker.counts.take_slot(other.slot for other in running)
    can_keep = _settings.web_keeps_cores and hasattr(os, "sched_getaffinity")  # Linux alone has it
    usable = os.sched_getaffinity(0) if can_keep else ()
    worker.core = cores.core_for(server.cfg.workers, usable, (other.core for other in running))


def post_fork(_server: Any, worker: Any) -> None:
    if worker.core is not None:
        with contextlib.suppress(OSError):  # the core was taken from us a moment ago: it runs wherever it may
            os.sched_setaffinity(0, {worker.core})


def post_worker_init(_worker: Any) -> None:
    """Once it has loaded the application."""
    memory.leave_out_what_is_loaded()


def on_exit(_server: Any) -> None:
    """After the last worker: nobody needs to wait for this machine's web server."""
    with contextlib.closing(Resources(_settings)) as use:
        nodes.leave(use, "web")


class OwnLogger(glogging.Logger):
    """gunicorn's messages go the way of ours: the same lines on the same stream, and redacted, since gunicorn quotes
    request lines that it cannot read, with whatever token somebody put into them."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


logger_class = OwnLogger
