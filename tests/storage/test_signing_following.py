"""The signer that follows its key file: the next URL is signed with what the file holds by then."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.storage import keys
from server.storage.keys import KeyFileError, S3Credentials
from server.storage.signing import StoredObject
from server.storage.signing_following import FollowingSigner
from server.storage.signing_s3 import S3Signer


def make(credentials: S3Credentials) -> S3Signer:
    return S3Signer(
        endpoint_url="http://127.0.0.1:9000", region="us-east-1", bucket="weights", addressing="path",
        credentials=credentials, clock=lambda: datetime.now(UTC),
    )  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "signer.json"
    keys.write_s3_credentials(path, S3Credentials("FIRST", "s" * 40))
    return path


def key_of(signer: FollowingSigner[S3Credentials]) -> str:
    (url,) = signer.sign([StoredObject("a")], download_id="test", lifetime_seconds=60)
    return url.partition("X-Amz-Credential=")[2].partition("%2F")[0]


def replace(file: Path, content: bytes) -> None:
    other = file.with_suffix(".new")
    keys.write_private(other, content)
    other.replace(file)


def test_the_next_url_is_signed_with_the_new_key(file: Path) -> None:
    """No restart, and every process that has the file sees it by itself."""
    signers = [FollowingSigner(file, keys.read_s3_credentials, make) for _ in range(2)]
    assert [key_of(signer) for signer in signers] == ["FIRST", "FIRST"]
    replace(file, b'{"access_key_id": "SECOND", "secret_access_key": "t"}')
    assert [key_of(signer) for signer in signers] == ["SECOND", "SECOND"]
    assert signers[0].origin == "http://127.0.0.1:9000"


@pytest.mark.parametrize("content", [b"", b"{", b'{"access_key_id": "SECOND"}'])
def test_a_file_that_is_no_key_changes_nothing(file: Path, content: bytes) -> None:
    """Half of a file is nobody's key: signing goes on with the one before until there is another."""
    signer = FollowingSigner(file, keys.read_s3_credentials, make)
    replace(file, content)
    assert key_of(signer) == "FIRST"
    file.unlink()
    assert key_of(signer) == "FIRST"
    keys.write_s3_credentials(file, S3Credentials("THIRD", "u"))
    assert key_of(signer) == "THIRD"


def test_a_start_without_a_key_is_refused(file: Path) -> None:
    """Only a running process keeps what it had."""
    file.chmod(0o644)
    with pytest.raises(KeyFileError, match="readable by others"):
        FollowingSigner(file, keys.read_s3_credentials, make)
