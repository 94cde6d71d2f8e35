"""Key files: private, made once, and never quoted in an error."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from server.storage import keys
from server.storage.keys import KeyFileError, S3Credentials
from tests.other_user import as_another_user

SECRET = bytes(range(32))


@pytest.fixture
def loose_umask() -> object:
    """The most careless umask there is."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_key_file_is_private_whatever_the_umask(tmp_path: Path, loose_umask: object) -> None:
    """0600 from its first moment, in a folder of 0700, and written once only."""
    path = tmp_path / "keys" / "one"
    keys.write_private(path, b"key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        keys.write_private(path, b"other")
    assert keys.read_private(path) == b"key"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """The error names the file, its mode and the fix, and nothing of the key."""
    path = tmp_path / "one"
    keys.write_private(path, b"hunter2hunter2")
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"{mode:04o}.*chmod 600") as error:
        keys.read_private(path)
    assert "hunter2" not in str(error.value)


def test_a_missing_key_names_the_file_and_the_fix(tmp_path: Path) -> None:
    """Whoever starts without a key learns which and how to make it."""
    with pytest.raises(KeyFileError, match=r"one.*weightgate-server init"):
        keys.read_private(tmp_path / "one")
    with pytest.raises(KeyFileError):
        keys.read_private(tmp_path)


def test_a_key_of_another_user_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """In a folder that is closed to the server's user, the line names whose the file must be."""
    keys.write_secret(tmp_path / "one")
    with as_another_user(tmp_path), pytest.raises(KeyFileError, match=r"cannot be read by the user.*chown USER"):
        keys.read_private(tmp_path / "one")


@pytest.mark.parametrize("token", [None, "a session token"])
def test_s3_credentials_come_back_as_they_were_written(tmp_path: Path, token: str | None) -> None:
    """With or without a session token; their text never shows a secret."""
    made = keys.new_s3_credentials()
    credentials = S3Credentials(made.access_key_id, made.secret_access_key, token)
    keys.write_s3_credentials(tmp_path / "one", credentials)
    assert keys.read_s3_credentials(tmp_path / "one") == credentials
    assert made.secret_access_key not in repr(credentials)
    assert str(token) not in repr(credentials)


BAD = [
    b"", b"hunter2", b"[]", b"null", b"{}", b'{"access_key_id": "a"}', b'{"secret_access_key": "hunter2"}',
    b'{"access_key_id": "a", "secret_access_key": "hunter2", "more": 1}', b"\xff\xfe", b'["a", "hunter2"]',
    b'{"access_key_id": 1, "secret_access_key": "hunter2"}', b'{"access_key_id": "", "secret_access_key": "hunter2"}',
    b'{"access_key_id": "a", "secret_access_key": ""}', b'{"access_key_id": null, "secret_access_key": "hunter2"}',
]  # fmt: skip


@pytest.mark.parametrize("content", BAD)
def test_what_is_no_credential_is_refused_without_being_quoted(tmp_path: Path, content: bytes) -> None:
    """Missing, empty, unknown and wrong parts all get one sentence."""
    keys.write_private(tmp_path / "one", content)
    with pytest.raises(KeyFileError, match="access_key_id and secret_access_key") as error:
        keys.read_s3_credentials(tmp_path / "one")
    assert "hunter2" not in str(error.value)


def test_no_two_generated_keys_are_alike() -> None:
    """And their form is what object stores accept."""
    made = [keys.new_s3_credentials() for _ in range(50)]
    assert len({one.access_key_id for one in made} | {one.secret_access_key for one in made}) == 100
    assert all(one.access_key_id.isalnum() and len(one.secret_access_key) >= 40 for one in made)


@pytest.mark.parametrize(("length", "accepted"), [(0, False), (31, False), (32, True), (64, True)])
def test_a_secret_has_32_bytes_at_least(tmp_path: Path, length: int, accepted: bool) -> None:
    """A short one is refused: what is sealed with it could be guessed."""
    keys.write_private(tmp_path / "one", bytes(length))
    if accepted:
        assert len(keys.read_secret(tmp_path / "one")) == length
    else:
        with pytest.raises(KeyFileError, match="at least 32"):
            keys.read_secret(tmp_path / "one")


def test_a_generated_secret_is_32_random_bytes(tmp_path: Path) -> None:
    """Two instances do not share one."""
    for name in ("one", "two"):
        keys.write_secret(tmp_path / name)
    first, second = (keys.read_secret(tmp_path / name) for name in ("one", "two"))
    assert len(first) == 32
    assert first != second


def test_what_was_sealed_is_opened_by_the_same_secret_for_the_same_purpose_only() -> None:
    """Another secret, another purpose, or one changed byte opens nothing; two seals of one thing differ."""
    sealed = keys.seal(SECRET, "totp", b"content")
    assert keys.unseal(SECRET, "totp", sealed) == b"content"
    assert b"content" not in sealed
    assert keys.seal(SECRET, "totp", b"content") != sealed
    changed = sealed[:40] + bytes([sealed[40] ^ 1]) + sealed[41:]
    for secret, purpose, text in (
        (bytes(32), "totp", sealed), (SECRET, "other", sealed), (SECRET, "totp", changed), (SECRET, "totp", b""),
    ):  # fmt: skip
        with pytest.raises(KeyFileError, match="cannot decrypt"):
            keys.unseal(secret, purpose, text)


def test_the_manifest_key_is_a_private_file_and_a_public_one(tmp_path: Path) -> None:
    """A P-256 pair; the public half is for everyone to read, and a second run makes no second key."""
    private, public = tmp_path / "keys" / "one", tmp_path / "keys" / "one.pub"
    keys.write_manifest_key(private, public)
    pair = load_pem_private_key(keys.read_private(private), None)
    shown = load_pem_public_key(public.read_bytes())
    assert pair.public_key() == shown
    assert b"PRIVATE" not in public.read_bytes()
    before = public.read_bytes()
    with pytest.raises(FileExistsError):
        keys.write_manifest_key(private, public)
    assert public.read_bytes() == before


def test_credentials_are_plain_json(tmp_path: Path) -> None:
    """An operator can write the file by hand."""
    keys.write_private(tmp_path / "one", json.dumps({"access_key_id": "a", "secret_access_key": "b"}).encode())
    assert keys.read_s3_credentials(tmp_path / "one") == S3Credentials("a", "b")
