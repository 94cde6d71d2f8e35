"""The anchors' bucket on the real embedded store: with its own credentials things are created, and that is all."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from server.storage import keys
from server.storage.anchor_bucket import AnchorBucket
from server.storage.embedded import REGION, EmbeddedStore
from server.storage.object_errors import ObjectStoreRefused, ObjectStoreUnavailable, status_of


def opened(store: EmbeddedStore, **other: Any) -> AnchorBucket:
    """other: arguments of AnchorBucket in place of the right ones."""
    known: dict[str, Any] = {
        "endpoint_url": store.endpoint_url, "region": REGION, "bucket": store.anchor_bucket, "addressing": "path",
        "credentials": keys.read_s3_credentials(store.anchor_key_file),
    }  # fmt: skip
    return AnchorBucket(**known | other)


@pytest.fixture
def bucket(embedded_store: EmbeddedStore) -> Iterator[AnchorBucket]:
    with opened(embedded_store) as made:
        yield made


@pytest.fixture
def key() -> str:
    """A key of this test's own."""
    return f"anchors/{uuid.uuid4().hex}/1"


def test_an_object_is_created_once(bucket: AnchorBucket, key: str) -> None:
    """The second one by the same key is not stored, whatever is in it."""
    assert bucket.create(key, b"first")
    assert not bucket.create(key, b"second")
    assert not bucket.create(key, b"first")
    assert bucket.get_bytes(key) == b"first"


LIFE_CYCLE = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
AGAINST: dict[str, Callable[[Any, str, str], object]] = {
    "put": lambda client, bucket, key: client.put_object(Bucket=bucket, Key=key, Body=b"other"),
    "put if it matches": lambda client, bucket, key: client.put_object(
        Bucket=bucket, Key=key, Body=b"other", IfMatch='"8b04d5e3775d298e78455efc5ca404d5"'
    ),
    "put unless it is another": lambda client, bucket, key: client.put_object(
        Bucket=bucket, Key=key, Body=b"other", IfNoneMatch='"8b04d5e3775d298e78455efc5ca404d5"'
    ),
    "put in parts": lambda client, bucket, key: client.create_multipart_upload(Bucket=bucket, Key=key),
    "copy over": lambda client, bucket, key: client.copy_object(
        Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": f"{key}-other"}
    ),
    "delete": lambda client, bucket, key: client.delete_object(Bucket=bucket, Key=key),
    "delete many": lambda client, bucket, key: client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}]}),
    "tag": lambda client, bucket, key: client.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": []}),
    "open to all": lambda client, bucket, key: client.put_object_acl(Bucket=bucket, Key=key, ACL="public-read"),
    "let it expire": lambda client, bucket, _: client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=LIFE_CYCLE
    ),
    "end versions": lambda client, bucket, _: client.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "set a policy": lambda client, bucket, _: client.put_bucket_policy(Bucket=bucket, Policy="{}"),
    "delete the bucket": lambda client, bucket, _: client.delete_bucket(Bucket=bucket),
}


def status_after(store: EmbeddedStore, what: str, key: str, **other: Any) -> int:
    """What is answered; on a connection of its own, since a body that was refused unread may still lie on it."""
    with opened(store, **other) as bucket, pytest.raises(ClientError) as refused:
        AGAINST[what](bucket._client, bucket.bucket, key)
    return status_of(refused.value)


@pytest.mark.parametrize("what", AGAINST)
def test_an_anchor_is_neither_replaced_nor_removed(
    embedded_store: EmbeddedStore, bucket: AnchorBucket, key: str, what: str
) -> None:
    """Not with the anchors' own credentials: 403, and it is what it was."""
    assert bucket.create(key, b"first")
    assert bucket.create(f"{key}-other", b"other")
    assert status_after(embedded_store, what, key) == 403
    assert bucket.get_bytes(key) == b"first"
    assert bucket.keys_after(key, key) == [f"{key}-other"]


@pytest.mark.parametrize("what", ["put", "delete", "let it expire"])
def test_the_publisher_does_not_replace_anchors_either(
    embedded_store: EmbeddedStore, bucket: AnchorBucket, key: str, what: str
) -> None:
    """Whose key may do everything at the store may not do this through the proxy."""
    bucket.create(key, b"first")
    credentials = keys.read_s3_credentials(embedded_store.publisher_key_file)
    assert status_after(embedded_store, what, key, credentials=credentials) == 403
    assert bucket.get_bytes(key) == b"first"


def test_odd_keys_are_no_way_around(embedded_store: EmbeddedStore, bucket: AnchorBucket) -> None:
    """A key that begins with a space, or holds a newline, is a key like any other."""
    name = uuid.uuid4().hex
    for odd in (f" {name}", f"{name}\nb", f"{name}//b", f"\n{name}"):
        assert bucket.create(odd, b"first")
        for what in ("put", "delete"):
            assert status_after(embedded_store, what, odd) == 403
        assert bucket.get_bytes(odd) == b"first"


def test_the_weights_are_out_of_reach(embedded_store: EmbeddedStore, key: str) -> None:
    """The anchors' credentials open the anchors' bucket alone; the web's signer does not open it."""
    signer = keys.read_s3_credentials(embedded_store.signer_key_file)
    for other in ({"bucket": embedded_store.bucket}, {"credentials": signer}):
        with opened(embedded_store, **other) as bucket:
            with pytest.raises(ObjectStoreRefused):
                bucket.create(key, b"x")
            with pytest.raises(ObjectStoreRefused):
                bucket.get_bytes(key)
            with pytest.raises(ObjectStoreRefused):
                bucket.list_keys("")


def test_keys_are_listed_from_one_on_in_their_order(bucket: AnchorBucket) -> None:
    """Those that sort after it and have the prefix; over more than one page of the store."""
    folder = f"anchors/{uuid.uuid4().hex}/"
    for number in (3, 1, 20, 100):
        bucket.create(f"{folder}{number:03d}", b"")
    bucket.create(f"{folder[:-1]}0/999", b"")  # the next prefix in order
    every = [f"{folder}{number}" for number in ("001", "003", "020", "100")]
    assert bucket.keys_after(folder, folder) == every
    assert bucket.keys_after(folder, f"{folder}003") == every[2:]
    assert bucket.keys_after(folder, f"{folder}004") == every[2:]
    assert bucket.keys_after(folder, f"{folder}100") == []
    pages = bucket._client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket.bucket, Prefix=folder, StartAfter=f"{folder}001", PaginationConfig={"PageSize": 1}
    )
    assert [entry["Key"] for page in pages for entry in page["Contents"]] == every[1:]


def test_a_store_that_is_gone_is_named_so(embedded_store: EmbeddedStore, key: str) -> None:
    """What cannot be reached now may be later: another type than a refusal."""
    with opened(embedded_store, endpoint_url="http://127.0.0.1:1", attempts=1) as bucket:
        with pytest.raises(ObjectStoreUnavailable):
            bucket.create(key, b"x")
        with pytest.raises(ObjectStoreUnavailable):
            bucket.keys_after("anchors/", "anchors/")
