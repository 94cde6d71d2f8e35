"""The object store's errors: each becomes one of our types, and no text of theirs gets through."""

import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, ReadTimeoutError, SSLError

from server.storage.object_errors import (
    ChecksumMismatch,
    ObjectStoreError,
    ObjectStoreRefused,
    ObjectStoreUnavailable,
    typed_errors,
)

SECRET = "X-Amz-Signature=5ec2e7"  # as a URL in one of their texts would hold it


def answered(status: int, code: str) -> ClientError:
    response = {"Error": {"Code": code, "Message": SECRET}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


@pytest.mark.parametrize(("error", "expected"), [
    (answered(400, "BadDigest"), ChecksumMismatch),
    (answered(400, "XAmzContentSHA256Mismatch"), ChecksumMismatch),
    (answered(401, "Unauthorized"), ObjectStoreRefused),
    (answered(403, "AccessDenied"), ObjectStoreRefused),
    (answered(429, "SlowDown"), ObjectStoreUnavailable),
    (answered(500, "InternalError"), ObjectStoreUnavailable),
    (answered(503, SECRET), ObjectStoreUnavailable),
    (answered(404, "NoSuchKey"), ObjectStoreError),
    (EndpointConnectionError(endpoint_url=f"https://store.example/?{SECRET}"), ObjectStoreUnavailable),
    (ReadTimeoutError(endpoint_url=f"https://store.example/?{SECRET}"), ObjectStoreUnavailable),
    (SSLError(endpoint_url=f"https://store.example/?{SECRET}", error=SECRET), ObjectStoreUnavailable),
    (BotoCoreError(), ObjectStoreError),
])  # fmt: skip
def test_every_error_has_a_type_and_no_secret(error: Exception, expected: type[Exception]) -> None:
    """Nothing that may hold a URL is in the text or behind it in a traceback."""
    with pytest.raises(ObjectStoreError) as caught, typed_errors("keep a file"):
        raise error
    assert type(caught.value) is expected
    assert "keep a file" in str(caught.value) or expected is ObjectStoreError
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_private_ca_is_told_where_to_name_it() -> None:
    """Whoever's store has a certificate of their own learns which variable makes it trusted."""
    with pytest.raises(ObjectStoreUnavailable, match="AWS_CA_BUNDLE"), typed_errors("keep a file"):
        raise SSLError(endpoint_url="https://store.example", error="self-signed certificate")


def test_an_error_of_ours_passes() -> None:
    """What is not the store's is not dressed up as the store's."""
    with pytest.raises(KeyError), typed_errors("keep a file"):
        raise KeyError
