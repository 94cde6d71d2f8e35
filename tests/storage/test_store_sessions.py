"""Sessions at the store: the policy that narrows them, and the key that begins them, followed as it changes."""

import json
from pathlib import Path

import pytest
from botocore.stub import Stubber

from server.storage import keys, store_sessions
from server.storage.keys import KeyFileError, S3Credentials
from server.storage.object_errors import ObjectStoreError, ObjectStoreRefused
from server.storage.store_sessions import StoreSessions

PREFIX = "checkpoints/gpt-2/774M/0123456789abcdef0123456789abcdef01234567/"
ROLE = "arn:aws:iam::123456789012:role/downloads"


def opened(path: Path) -> StoreSessions:
    return StoreSessions(
        endpoint_url=None, region="eu-central-1", bucket="weights", role_arn=ROLE,
        asker=lambda: keys.read_s3_credentials(path),
    )  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "sts.json"
    keys.write_s3_credentials(made, S3Credentials("ASKER", "s3cr3t"))
    return made


def test_a_session_reads_and_lists_one_prefix() -> None:
    """And no policy says more; it is far below what AWS allows."""
    policy = json.loads(store_sessions.session_policy("weights", PREFIX))
    assert policy["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::weights/{PREFIX}*"]},
        {
            "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::weights"],
            "Condition": {"StringLike": {"s3:prefix": [f"{PREFIX}*"]}},
        },
    ]  # fmt: skip
    assert len(store_sessions.session_policy("weights", PREFIX)) < 600


def test_on_aws_a_session_may_decrypt_through_s3() -> None:
    """Else it could read nothing that is encrypted with a key of KMS, however much its role may."""
    plain, decrypting = (
        json.loads(store_sessions.session_policy("weights", PREFIX, decrypts=decrypts))["Statement"]
        for decrypts in (False, True)
    )
    assert decrypting[:-1] == plain
    assert decrypting[-1] == {
        "Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": ["*"],
        "Condition": {"StringLike": {"kms:ViaService": ["s3.*"]}},
    }  # fmt: skip
    assert "kms:" in store_sessions.url_policy("weights", PREFIX, (), decrypts=True)


@pytest.mark.parametrize("prefix", ["", "/", "*", "checkpoints/*/", "checkpoints/${aws:userid}/", "a", "a?/", "é/"])
def test_a_prefix_that_could_stand_for_others_is_refused(prefix: str) -> None:
    """Signs that a policy takes for something else, and a prefix that does not end with a folder."""
    with pytest.raises(ValueError, match="plain characters"):
        store_sessions.session_policy("weights", prefix)


def test_a_policy_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ObjectStoreError, match="more than 2048 characters"):
        store_sessions.session_policy("weights", f"{'a' * 1000}/")


@pytest.mark.parametrize(("name", "seconds"), [("x", 900), ("a b", 900), ("", 900), ("good", 899), ("good", 43_201)])
def test_what_no_session_can_be_is_not_asked_for(path: Path, name: str, seconds: int) -> None:
    with pytest.raises(ValueError, match="a session has a name"):
        opened(path).begin(PREFIX, name, seconds)


def test_a_refusal_is_told_without_what_was_sent(path: Path) -> None:
    """As every other of the store's."""
    sessions = opened(path)
    with Stubber(sessions._client) as stub:
        stub.add_client_error("assume_role", "AccessDenied", "not authorized: s3cr3t", 403)
        with pytest.raises(ObjectStoreRefused, match=r"refused to begin a session \(AccessDenied\)") as refused:
            sessions.begin(PREFIX, "a-session", 900)
    assert "s3cr3t" not in str(refused.value)


def test_a_replaced_key_is_used_at_once(path: Path) -> None:
    """Without a restart; a file that is gone ends the making of keys."""
    sessions = opened(path)
    path.unlink()
    keys.write_s3_credentials(path, S3Credentials("ANOTHER", "s3cr3t"))
    assert sessions._current()._request_signer._credentials.access_key == "ANOTHER"
    path.unlink()
    with pytest.raises(KeyFileError):
        sessions.begin(PREFIX, "a-session", 900)
