"""The portal of a running demo: real server, store and worker, as `make demo` starts them, and an identity provider."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.storage.embedded import free_port
from tests import oidc_provider
from tests.cli.started import Started
from tests.oidc_provider import OidcProvider

PROVIDER_NAME = "Example SSO"

ISSUER = "https://token.actions.githubusercontent.com"  # which is never asked


@contextmanager
def running(folder: Path) -> Iterator[dict[str, Any]]:
    """Start a demo in a new folder; yield what its demo.json says and its folder; leave nothing of it running."""
    # Both ports are given: those that a demo tries first may be another test's in a moment.
    port = free_port()
    store = f"http://127.0.0.1:{free_port({port})}"
    with oidc_provider.running([f"http://localhost:{port}/sign-in/with/lab/return"]) as provider:
        known = {
            "WEIGHTGATE_S3_ENDPOINT_URL": store, "WEIGHTGATE_IDENTITY_PROVIDERS": json.dumps([_of(provider)]),
            "WEIGHTGATE_WORKLOAD_ISSUERS": ISSUER,
        }  # fmt: skip
        started = Started(folder, "demo", "--port", str(port), **known)
        try:
            started.until(lambda: "Weightgate is ready" in started.out)
            yield json.loads((folder / "demo.json").read_text(encoding="utf-8")) | {"folder": str(folder)}
        finally:
            started.interrupt()
            started.kill()


def _of(provider: OidcProvider) -> dict[str, Any]:
    """What the settings say of an identity provider for people of the lab and of one partner."""
    return {
        "id": "lab", "name": PROVIDER_NAME, "issuer": provider.issuer, "client_id": oidc_provider.PUBLIC,
        "organizations": ["example-lab", "aurora-institute"], "second_factor_amr": ["mfa"],
    }  # fmt: skip


def until(condition: Any, seconds: float = 30) -> Any:
    """Wait for something that the worker does meanwhile; return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found
