"""The portal of a running demo: real server, store and worker, as `make demo` starts them."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.storage.embedded import free_port
from tests.cli.started import Started

ISSUER = "https://token.actions.githubusercontent.com"  # which is never asked


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """Start a demo in a new folder; yield what its demo.json says and its folder; leave nothing of it running."""
    # Both ports are given: those that a demo tries first may be another test's in a moment.
    port = free_port()
    store = f"http://127.0.0.1:{free_port({port})}"
    more = {"WEIGHTGATE_S3_ENDPOINT_URL": store, "WEIGHTGATE_WORKLOAD_ISSUERS": ISSUER}
    started = Started(folder, "demo", "--port", str(port), **more)
    try:
        started.until(lambda: "Weightgate is ready" in started.out)
        yield json.loads((folder / "demo.json").read_text(encoding="utf-8")) | {"folder": str(folder)}
    finally:
        started.interrupt()
        started.kill()


def until(condition: Any, seconds: float = 30) -> Any:
    """Wait for something that the worker does meanwhile; return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found
