"""URLs signed by sessions: one for each organization, checkpoint and networks, kept until shortly before its end."""

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.storage import store_sessions
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreError
from server.storage.signing import Recipient, StoredObject
from server.storage.signing_s3 import S3Signer
from server.storage.signing_sessions import KEPT_AT_MOST, PUBLIC, SESSION_SECONDS, SessionSigner
from server.storage.store_sessions import StoreSession

NOON = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)
PREFIX = "checkpoints/gpt-2/774M/0123456789abcdef0123456789abcdef01234567/"
OTHER = "checkpoints/gpt-2/355M/0123456789abcdef0123456789abcdef01234567/"
FILES = [StoredObject(f"{PREFIX}config.json"), StoredObject(f"{PREFIX}notes/README.md")]
AURORA = Recipient("192.0.2.7", "aurora", ("192.0.2.0/24", "2001:db8::/48"))


class Asked:
    """STS as this module calls it, and a clock."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str, int, tuple[str, ...]]] = []
        self.now = NOON
        self.signer = SessionSigner(self, self.signer_with, "https://weights.example", lambda: self.now)  # type: ignore[arg-type]

    def begin_for_urls(self, prefix: str, name: str, seconds: int, networks: Collection[str]) -> StoreSession:
        self.begun.append((prefix, name, seconds, tuple(networks)))
        credentials = S3Credentials(f"ASIA{len(self.begun)}", "s3cr3t", "a token")
        return StoreSession(credentials, self.now + timedelta(seconds=seconds))

    def signer_with(self, credentials: S3Credentials) -> S3Signer:
        return S3Signer(
            endpoint_url=None, region="eu-central-1", bucket="weights", addressing="virtual", credentials=credentials,
            clock=lambda: self.now,
        )  # fmt: skip

    def key_of(self, recipient: Recipient = AURORA, files: list[StoredObject] = FILES, **how: Any) -> str:
        """By which session they were signed."""
        how = dict[str, Any]({"download_id": "d", "lifetime_seconds": 300}) | how
        (key,) = {
            url.partition("Credential=")[2].partition("%2F")[0]
            for url in self.signer.sign(files, recipient=recipient, **how)
        }
        return key


def test_a_session_is_one_organizations_for_one_checkpoint() -> None:
    """Named after it, for the prefix and the networks of the token; another of any of them is another session."""
    asked = Asked()
    assert asked.key_of() == asked.key_of() == "ASIA1"
    assert asked.begun == [(PREFIX, "aurora", SESSION_SECONDS, AURORA.networks)]
    others = (
        asked.key_of(AURORA._replace(organization="birch")), asked.key_of(AURORA._replace(networks=())),
        asked.key_of(files=[StoredObject(f"{OTHER}x")]), asked.key_of(Recipient()), asked.key_of(Recipient(None, "x")),
    )  # fmt: skip
    assert others == ("ASIA2", "ASIA3", "ASIA4", "ASIA5", "ASIA6")
    assert [name for _, name, _, _ in asked.begun[1:]] == ["birch", "aurora", "aurora", PUBLIC, "x."]
    assert asked.key_of() == "ASIA1"


def test_a_session_is_kept_until_urls_would_outlive_it() -> None:
    """A minute more than that; then another one is begun."""
    asked = Asked()
    asked.key_of()
    asked.now = NOON + timedelta(seconds=SESSION_SECONDS - 360)
    assert asked.key_of() == "ASIA1"
    assert asked.key_of(lifetime_seconds=301) == "ASIA2"
    asked.now += timedelta(hours=1)
    assert asked.key_of() == "ASIA3"


def test_no_more_are_kept_than_needed() -> None:
    """Those that were begun first go."""
    asked = Asked()
    for number in range(KEPT_AT_MOST + 1):
        asked.key_of(Recipient(None, f"o-{number}"))
    assert len(asked.signer._kept) == KEPT_AT_MOST
    assert asked.key_of(Recipient(None, f"o-{KEPT_AT_MOST}")) == f"ASIA{KEPT_AT_MOST + 1}"
    assert asked.key_of(Recipient(None, "o-0")) == f"ASIA{KEPT_AT_MOST + 2}"


@pytest.mark.parametrize("keys", [[f"{PREFIX}a", f"{OTHER}a"], ["checkpoints/gpt-2/774M/x"], ["findings/1/2/3"]])
def test_files_of_no_one_checkpoint_are_not_signed(keys: list[str]) -> None:
    asked = Asked()
    with pytest.raises(ValueError, match="one checkpoint"):
        asked.key_of(files=[StoredObject(key) for key in keys])
    assert asked.begun == []
    assert asked.signer.sign([], download_id="d", lifetime_seconds=60) == []


def test_the_policy_reads_one_prefix_from_these_networks() -> None:
    """And nothing else: no list, no other prefix; the partition is the region's."""
    reading = {
        "Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"],
        "Resource": [f"arn:aws-cn:s3:::weights/{PREFIX}*"],
    }  # fmt: skip
    made = json.loads(store_sessions.url_policy("weights", PREFIX, (), "aws-cn"))
    assert made == {"Version": "2012-10-17", "Statement": [reading]}
    made = json.loads(store_sessions.url_policy("weights", PREFIX, ("b/32", "a/32"), "aws-cn"))
    where = {"IpAddress": {"aws:SourceIp": ["a/32", "b/32"]}}
    assert made["Statement"] == [reading | {"Condition": where}]
    with pytest.raises(ValueError, match="plain characters"):
        store_sessions.url_policy("weights", "checkpoints/*/", ())
    with pytest.raises(ObjectStoreError, match="more than 2048"):
        store_sessions.url_policy("weights", PREFIX, [f"192.0.2.{number}/32" for number in range(120)])
