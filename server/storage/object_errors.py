"""What may go wrong at the object store, in types of ours: botocore's errors end here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError, SSLError
from botocore.exceptions import ConnectionError as NoConnection


class ObjectStoreError(Exception):
    """The object store did not do what was asked. The text says what to do and holds no secret, signature or URL."""


class ObjectStoreUnavailable(ObjectStoreError):
    """The store cannot be reached, is too slow, or failed inside. The same request may work later."""


class ObjectStoreRefused(ObjectStoreError):
    """The store answered that these credentials may not do this."""


class ChecksumMismatch(ObjectStoreError):
    """The bytes are not the ones that were promised, here or at the store. Nothing of them is kept."""


@contextmanager
def typed_errors(doing: str) -> Iterator[None]:
    """Run a block in which boto3 is asked to do something, named for the text of the error."""
    # "from None": the original may quote a URL, and no traceback of ours shows it.
    try:
        yield
    except ClientError as error:
        raise _answered(doing, error) from None
    except SSLError:
        raise ObjectStoreUnavailable(
            f"the object store's certificate is not trusted, or TLS failed, when asked to {doing} (SSLError): with a "
            "private CA, let the environment variable AWS_CA_BUNDLE name a file that contains the CA's certificate"
        ) from None
    except (NoConnection, HTTPClientError, IncompleteReadError) as error:  # refused, reset, timed out, cut
        raise ObjectStoreUnavailable(
            f"the object store did not respond when asked to {doing} ({type(error).__name__}): check that it is "
            "running and that its address in the settings is correct"
        ) from None
    except BotoCoreError as error:
        raise ObjectStoreError(f"could not ask the object store to {doing} ({type(error).__name__})") from None


def status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: ClientError) -> str:
    # From the other side: only its letters, so that it cannot carry a signature into our texts.
    return re.sub(r"[^A-Za-z0-9]", "", str(error.response.get("Error", {}).get("Code", "")))[:40]


def _answered(doing: str, error: ClientError) -> ObjectStoreError:
    status, code = status_of(error), code_of(error)
    if code in {"BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest"}:
        return ChecksumMismatch(f"the bytes arrived damaged when the store was asked to {doing} ({code}): try again")
    if status in {401, 403}:
        return ObjectStoreRefused(
            f"the object store refused to {doing} ({code}): check the credentials, the bucket policy and this "
            "machine's clock"
        )
    if status >= 500 or status == 429:
        return ObjectStoreUnavailable(f"the object store failed when asked to {doing} ({code}): try again later")
    return ObjectStoreError(f"the object store refused to {doing} ({status} {code})")
