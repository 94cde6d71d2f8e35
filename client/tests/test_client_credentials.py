"""Where `weightgate login` keeps a token: in a file for its owner alone, or in the system's keyring."""

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from client.tests.far_side import TOKEN, FarSide, Reply
from client.tests.partner import Partner

ME = {"person": "rosa@birch.example", "organization": "Birch University"}


class Kept(KeyringBackend):
    """A keyring that keeps what it is given, as a plug-in of the package."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def ring() -> Iterator[Kept]:
    before, ring = keyring.get_keyring(), Kept()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


@pytest.fixture
def known(far: FarSide, partner: Partner) -> Partner:
    """A partner with a token in a file of its own, and none in the environment."""
    far.answers["/api/v1/me"] = Reply(json.dumps(ME).encode())
    del partner.environment["WEIGHTGATE_TOKEN"]
    partner.save(TOKEN.encode(), "token")
    return partner


def log_in(partner: Partner, *options: str) -> tuple[int, str]:
    done = partner.run(
        "login", "--endpoint", partner.far.endpoint, "--token-file", str(partner.folder / "token"), *options
    )
    return done.code, done.err


def asked_with(partner: Partner) -> str | None:
    """The Authorization of what `weightgate whoami` asks."""
    assert partner.run("whoami").code == 0
    return partner.far.requests[-1][1]


def stored(partner: Partner) -> Path:
    return partner.folder / "state" / "credentials.json"


def test_a_token_in_the_file_is_for_its_owner_alone(known: Partner) -> None:
    assert log_in(known) == (0, "")
    assert TOKEN in stored(known).read_text()
    assert stat.S_IMODE(stored(known).stat().st_mode) == 0o600
    assert asked_with(known) == f"Bearer {TOKEN}"


def test_a_token_in_the_keyring_is_in_no_file(known: Partner, ring: Kept) -> None:
    """It is used like the other, and `logout` deletes it there."""
    assert log_in(known, "--keyring") == (0, "")
    assert list(ring.kept.values()) == [TOKEN]
    assert TOKEN not in stored(known).read_text()
    assert asked_with(known) == f"Bearer {TOKEN}"
    assert known.run("logout").code == 0
    assert ring.kept == {}
    assert known.run("logout").code == 2


@pytest.mark.parametrize("first", ["--keyring", None])
def test_a_second_login_leaves_the_token_in_one_place(known: Partner, ring: Kept, first: str | None) -> None:
    """From the file to the keyring and back."""
    assert log_in(known, *([first] if first else []))[0] == 0
    assert log_in(known, *([] if first else ["--keyring"]))[0] == 0
    assert len(ring.kept) + stored(known).read_text().count(TOKEN) == 1
    assert asked_with(known) == f"Bearer {TOKEN}"


def test_a_keyring_that_forgot_is_like_no_login(known: Partner, ring: Kept) -> None:
    assert log_in(known, "--keyring")[0] == 0
    ring.kept.clear()
    assert asked_with(known) is None
    assert known.run("logout").code == 0


def test_a_keyring_that_cannot_be_used_stores_nothing(known: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one, and a Python without the package: a sentence that says what to do, and no token lost."""
    assert log_in(known)[0] == 0
    before, ring = stored(known).read_text(), keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    try:
        code, said = log_in(known, "--keyring")
        assert (code, said.count("\n")) == (2, 1)
        assert "without --keyring" in said
    finally:
        keyring.set_keyring(ring)
    monkeypatch.setitem(sys.modules, "keyring", None)
    code, said = log_in(known, "--keyring")
    assert (code, "pip install keyring" in said) == (2, True), said
    assert stored(known).read_text() == before
