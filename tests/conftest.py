"""What all tests share: sockets only to loopback, real parts, and in CI no part may be missing."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from pytest_socket import socket_allow_hosts

pytest_plugins = [
    "tests.memory",
    "tests.stores",
    "tests.postgres",
    "tests.templates",
    "tests.world",
    "tests.shared_worlds",
    "tests.prepared_worlds",
    "tests.empty_databases",
    "tests.redis_server",
    "tests.oidc_provider",
    "tests.made_once",
    "tests.small_disk",
    "tests.e2e.partner",
    "tests.e2e.publisher",
    "tests.uploads",
    "tests.issuer",
    "tests.theirs",
]

# How fast the machine is, and what else it does, is no fault of what is tried.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def only_loopback() -> None:
    """A test that calls out is not a test of ours."""
    socket_allow_hosts(["127.0.0.1", "127.1.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and passwords of whoever runs the tests stay out of them."""
    for name in list(os.environ):
        if name.startswith("WEIGHTGATE_"):
            monkeypatch.delenv(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """In CI a skipped real part is a failure: a green run must mean that everything ran."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report  # type: ignore[return-value]
