"""`weightgate login` at a terminal: a code is shown, a person approves it in the portal, and the token is stored."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from weightgate import device
from weightgate.http import Server
from weightgate.verdicts import CannotTell, Refused

from server.domain.identity import device_logins
from server.domain.permissions import Scope
from tests.e2e.partner import Partner

WAIT_SECONDS = 30
BARE = {"WEIGHTGATE_TOKEN": "", "WEIGHTGATE_ENDPOINT": ""}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server tells programs to ask each second."""
    monkeypatch.setattr(device_logins, "INTERVAL_SECONDS", 1)


@contextmanager
def logging_in(partner: Partner) -> Iterator["subprocess.Popen[str]"]:
    """The command, at a terminal."""
    ours, theirs = pty.openpty()
    command = partner.command("login", "--endpoint", partner.endpoint)
    environment = {**os.environ, **partner.environment(), **BARE}
    try:
        with subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()
    finally:
        os.close(ours)
        os.close(theirs)


def code_of(process: "subprocess.Popen[str]") -> str:
    """What a person reads on the screen."""
    assert process.stdout is not None
    return process.stdout.readline().split()[-1]


def approve(partner: Partner, code: str, scope: Scope = Scope.STAGES_READ) -> None:
    world = partner.world
    device_logins.approve(world.use, world.person("cleared"), code, "node-7", {scope}, timedelta(days=30))


def test_a_person_approves_and_the_token_is_stored(partner: Partner) -> None:
    """With what they chose; the next command works, and nothing secret was printed."""
    with logging_in(partner) as process:
        approve(partner, code_of(process))
        printed, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said) == (0, "")
    assert "as owner@aurora-institute.example of aurora-institute" in printed
    assert "wgk_" not in printed
    listed = json.loads(partner.run("tokens", "--json", more=BARE).stdout)
    assert ["node-7", ["stages:read"]] in [[one["name"], one["scopes"]] for one in listed]


def test_what_was_denied_ends_the_command(partner: Partner) -> None:
    """In a sentence; nothing is stored."""
    with logging_in(partner) as process:
        device_logins.deny(partner.world.use, partner.world.person("cleared"), code_of(process))
        _, said = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, said.startswith("refused: This was denied")) == (1, True), said
    assert not (partner.state / "credentials.json").exists()


def test_whoever_asks_too_often_slows_down_and_gets_there(partner: Partner) -> None:
    """A program that does not wait is told so, waits longer each time, and has its token in the end."""
    waited = list[float]()

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            approve(partner, begun.user_code)
        if len(waited) >= 3:
            partner.world.clock.advance(timedelta(seconds=seconds))

    server = Server(partner.endpoint)
    begun = device.begin(server)
    assert device.wait(server, begun, sleep).startswith("wgk_")
    assert waited[:3] == [1, 1, 6]


def test_nobody_came(partner: Partner) -> None:
    """The code ends, and so does the command."""
    server = Server(partner.endpoint)
    begun = device.begin(server)
    with pytest.raises(Refused, match="Nobody approved it in time"):
        device.wait(server, begun, lambda _: partner.world.clock.advance(device_logins.LIFETIME))


def test_a_network_that_comes_back_is_waited_for(partner: Partner) -> None:
    """The person needs their time anyway."""
    server, gone = Server(partner.endpoint), Server("http://127.0.0.1:9")
    begun = device.begin(server)
    with pytest.raises(CannotTell):
        device.begin(gone)
    seconds = iter(range(0, 10_000, 200))
    with pytest.raises(Refused, match="Nobody approved it in time"):
        device.wait(gone, begun, lambda _: None, lambda: float(next(seconds)))
