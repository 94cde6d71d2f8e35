"""What the client's tests share: sockets only to loopback, a far side, and a partner with a memory of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_socket import socket_allow_hosts

from client.tests.far_side import FarSide
from client.tests.partner import Partner


@pytest.fixture(autouse=True)
def only_loopback() -> None:
    """A test that calls out is not a test of ours."""
    socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens and endpoints of whoever runs the tests stay out of them."""
    for name in list(os.environ):
        if name.startswith("WEIGHTGATE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def far() -> Iterator[FarSide]:
    far = FarSide()
    yield far
    far.close()


@pytest.fixture
def partner(far: FarSide, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Partner:
    return Partner(far, tmp_path, capfd)
