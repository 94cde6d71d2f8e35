"""The bucket's policy on the real embedded store: signed URLs under a prefix die, and nothing else changes."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from server.storage import keys, probes
from server.storage.bucket_policy import SID, BucketPolicy
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.object_errors import ObjectStoreRefused
from tests.stores import signed_url

READABLE = {
    "Sid": "TheirsToRead", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::weights/public/*",
}  # fmt: skip


def opened(store: EmbeddedStore, **other: Any) -> BucketPolicy:
    known: dict[str, Any] = {
        "endpoint_url": store.endpoint_url, "region": REGION, "bucket": "weights", "addressing": "path",
        "credentials": keys.read_s3_credentials(store.publisher_key_file),
    }  # fmt: skip
    return BucketPolicy(**known | other)


@pytest.fixture
def policy(embedded_store: EmbeddedStore) -> Iterator[BucketPolicy]:
    """The bucket that all tests share, without a policy before and after."""
    with opened(embedded_store) as made:
        yield made
        made.deny_signed([])


@pytest.fixture
def place() -> str:
    """A prefix of this test's own."""
    return f"checkpoints/policy-{uuid.uuid4().hex}/"


def test_signed_urls_of_a_prefix_die_and_live_again(
    embedded_store: EmbeddedStore, policy: BucketPolicy, place: str
) -> None:
    """A neighbour whose name begins alike lives on, and whoever signs in the header reads and writes as before."""
    mine, neighbour = f"{place}774M/a", f"{place}774M-chat/a"
    for key in (mine, neighbour):
        policy.put_bytes(key, b"weights")
    urls = [signed_url(embedded_store, key) for key in (mine, neighbour)]
    assert [probes.status_of(url) for url in urls] == [200, 200]
    assert policy.deny_signed([f"{place}774M/"])
    assert [probes.status_of(url) for url in urls] == [403, 200]
    assert policy.get_bytes(mine) == b"weights"
    policy.put_bytes(f"{place}774M/b", b"published while it is on hold")
    assert policy.deny_signed([])
    assert [probes.status_of(url) for url in urls] == [200, 200]


def test_a_policy_is_only_changed_where_it_differs(policy: BucketPolicy, place: str) -> None:
    """Saying the same again, in whichever order, asks the store for nothing."""
    assert not policy.deny_signed([])
    assert policy.deny_signed([f"{place}a/", f"{place}b/"])
    assert not policy.deny_signed([f"{place}b/", f"{place}a/"])
    assert policy.deny_signed([f"{place}b/"])
    assert not policy.deny_signed([f"{place}b/"])


def test_what_others_wrote_into_the_policy_stays(policy: BucketPolicy, place: str) -> None:
    """Ours is one statement among theirs, with a name of its own."""
    theirs = json.dumps({"Version": "2012-10-17", "Statement": [READABLE]})
    policy._client.put_bucket_policy(Bucket="weights", Policy=theirs)
    before = policy._statements()
    policy.deny_signed([place])
    assert [one["Sid"] for one in policy._statements()] == ["TheirsToRead", SID]
    policy.deny_signed([])
    assert policy._statements() == before
    policy._client.delete_bucket_policy(Bucket="weights")


def test_the_signer_cannot_change_the_policy(embedded_store: EmbeddedStore, place: str) -> None:
    """What the web holds could otherwise open the bucket to everybody."""
    credentials = keys.read_s3_credentials(embedded_store.signer_key_file)
    with opened(embedded_store, credentials=credentials) as policy, pytest.raises(ObjectStoreRefused):
        policy.deny_signed([place])


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_statement_as_aws_reads_it(embedded_store: EmbeddedStore, region: str, partition: str) -> None:
    """Denied to everybody but those who sign in the header, under the names of the region's own partition."""
    role_arn = f"arn:{partition}:iam::123456789012:role/downloads"
    with opened(embedded_store, region=region, role_arn=role_arn) as policy:
        statement, of_sessions = policy._denials(["checkpoints/gpt-2/774M/"])
    assert of_sessions["Principal"] == {"AWS": [role_arn]}  # however they sign
    assert "Condition" not in of_sessions
    assert of_sessions["Resource"] == statement["Resource"]
    assert statement == {
        "Sid": "WeightgateHold",
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:GetObjectVersion"],
        "Resource": [f"arn:{partition}:s3:::weights/checkpoints/gpt-2/774M/*"],
        "Condition": {"StringNotEquals": {"s3:authType": "REST-HEADER"}},
    }
