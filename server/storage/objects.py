"""The object store: where the files of a checkpoint live. What leaves this module are our own types, never boto3's."""

import hashlib
import shutil
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Protocol, Self
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from server.storage.keys import S3Credentials
from server.storage.object_errors import (
    ChecksumMismatch,
    ObjectStoreError,
    ObjectStoreRefused,
    ObjectStoreUnavailable,
    code_of,
    status_of,
    typed_errors,
)
from server.storage.object_parts import (
    MIB,
    SINGLE_PUT_BELOW_BYTES,
    Opens,
    base64_of,
    part_size_bytes,
    read_parts,
    store_checksum,
)

__all__ = [
    "MIB",
    "ChecksumMismatch",
    "ObjectInfo",
    "ObjectStore",
    "ObjectStoreError",
    "ObjectStoreRefused",
    "ObjectStoreUnavailable",
    "S3Objects",
    "part_size_bytes",
]

PARTS_IN_FLIGHT = 4  # memory: one part more than this is held at once
REQUESTS_AT_ONCE = 8  # of small objects, by threads that share a client: its pool keeps a connection for each

Progress = Callable[[int], None]


@dataclass(frozen=True)
class ObjectInfo:
    """What the store says of one object."""

    key: str
    size_bytes: int
    etag: str
    version_id: str | None  # None where the bucket is not versioned
    checksum: str | None  # SHA-256 as the store computed it: base64, or base64-N over N parts' digests
    sha256_hex: str | None  # of the whole content, as `upload` proved it before the object came into being


class ObjectStore(Protocol):
    """What publishing, `init` and `doctor` need of a store. Every method may raise ObjectStoreError."""

    def ensure_bucket(self) -> None: ...
    def bucket_reachable(self) -> bool: ...
    def upload(self, key: str, path: Opens, sha256_hex: str, size_bytes: int, progress: Progress) -> ObjectInfo: ...
    def already_there(self, key: str, path: Opens, sha256_hex: str, size_bytes: int) -> ObjectInfo | None: ...
    def head(self, key: str) -> ObjectInfo | None: ...
    def list_keys(self, prefix: str) -> list[str]: ...
    def delete(self, key: str) -> None: ...
    def abort_uploads(self, prefix: str) -> int: ...
    def put_bytes(self, key: str, content: bytes) -> ObjectInfo: ...
    def get_bytes(self, key: str) -> bytes: ...
    def download(self, key: str, path: Path) -> None: ...
    def server_time(self) -> datetime: ...
    def close(self) -> None: ...


class S3Objects:
    """One bucket of an S3 store. Safe to share between threads; close it, or use it as a context."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        region: str,
        bucket: str,
        addressing: Literal["path", "virtual"],
        credentials: S3Credentials,
        attempts: int = 3,
    ) -> None:
        self.bucket = bucket
        self._region = region
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=_config(endpoint_url, addressing, attempts),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def ensure_bucket(self) -> None:
        """Create the bucket where there is none."""
        if self.bucket_reachable():
            return
        # AWS knows us-east-1 only as "no constraint" and answers 400 to its name.
        place = {} if self._region == "us-east-1" else {"LocationConstraint": self._region}
        with typed_errors(f"create bucket {self.bucket}"):
            try:
                self._client.create_bucket(
                    Bucket=self.bucket, **({"CreateBucketConfiguration": place} if place else {})
                )
            except ClientError as error:
                if code_of(error) != "BucketAlreadyOwnedByYou":  # two starts at once: the other one made it
                    raise

    def bucket_reachable(self) -> bool:
        """Return whether the bucket is there for these credentials. Raises when the store cannot say."""
        with typed_errors(f"look at bucket {self.bucket}"):
            try:
                self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if status_of(error) == 404:
                    return False
                raise
        return True

    def server_time(self) -> datetime:
        """Return the store's clock, to the second, from its answer to a signed request.

        A clock that is far off gets 403 for its signature: that answer carries the time too, and is when it is needed.
        """
        with typed_errors("tell its time"):
            try:
                answer = self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if "date" not in _headers(error.response):
                    raise
                answer = error.response
        try:
            return parsedate_to_datetime(_headers(answer)["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            raise ObjectStoreError(
                "the object store's answer has no readable Date header: is it an S3 store?"
            ) from None

    def head(self, key: str) -> ObjectInfo | None:
        with typed_errors(f"look at {key}"):
            try:
                answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
        return ObjectInfo(
            key=key,
            size_bytes=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            version_id=answer.get("VersionId"),
            checksum=answer.get("ChecksumSHA256"),
            sha256_hex=answer["Metadata"].get("sha256"),
        )

    def already_there(self, key: str, path: Opens, sha256_hex: str, size_bytes: int) -> ObjectInfo | None:
        """Return the object if it is exactly this file, so that a publish can be resumed without sending it again.

        S3 shows an object only once all of it is there, with its metadata. Metadata alone would be the word of whoever
        wrote it, so the checksum that the store computed over what it received is compared with the file's own.
        Raises ChecksumMismatch when the file is no longer the one of this hash.
        """
        found = self.head(key)
        if found is None or (found.size_bytes, found.sha256_hex) != (size_bytes, sha256_hex):
            return None
        whole, digests = hashlib.sha256(), []
        with path.open("rb") as stream:
            for part in read_parts(stream, size_bytes):
                whole.update(part)
                digests.append(hashlib.sha256(part).digest())
        _require_unchanged(path, whole.hexdigest(), sha256_hex)
        return found if found.checksum == store_checksum(digests, size_bytes) else None

    def upload(self, key: str, path: Opens, sha256_hex: str, size_bytes: int, progress: Progress) -> ObjectInfo:
        """Put a file there and return what the store then says of it. `progress` gets each count of bytes sent.

        Why the whole content is known to be right: every part is hashed from the very buffer that is sent, twice: into
        the part's checksum, which the store verifies on receipt, and into the file's hash. The file's hash is compared
        before the object comes into being. The checksum of checksums that the store then answers covers the parts'
        order and number.
        """
        send = self._upload_whole if size_bytes < SINGLE_PUT_BELOW_BYTES else self._upload_parts
        with path.open("rb") as stream:
            expected = send(key, stream, path, sha256_hex, size_bytes, progress)
        return self._require_stored(key, expected, sha256_hex, size_bytes)

    def put_bytes(self, key: str, content: bytes) -> ObjectInfo:
        digest = hashlib.sha256(content)
        self._put(key, content, digest.digest(), digest.hexdigest())
        return self._require_stored(key, base64_of(digest.digest()), digest.hexdigest(), len(content))

    def get_bytes(self, key: str) -> bytes:
        """Return a small object's content. Raises KeyError when there is none."""
        with typed_errors(f"read {key}"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
                with answer["Body"] as body:
                    content: bytes = body.read()
            except ClientError as error:
                if status_of(error) == 404:
                    raise KeyError(key) from None
                raise
        return content

    def download(self, key: str, path: Path) -> None:
        """Write an object's content to a file, in bounded memory. Raises KeyError when there is none."""
        with typed_errors(f"read {key}"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if status_of(error) == 404:
                    raise KeyError(key) from None
                raise
            with answer["Body"] as body, path.open("wb") as stream:
                shutil.copyfileobj(body, stream, 1 << 20)

    def list_keys(self, prefix: str) -> list[str]:
        with typed_errors(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. A versioned bucket keeps the older versions."""
        with typed_errors(f"delete {key}"):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    def abort_uploads(self, prefix: str) -> int:
        """Abort unfinished uploads under a prefix that nobody else is uploading to; return how many there were."""
        with typed_errors(f"clear unfinished uploads under {prefix}"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=prefix)
            stale = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", [])]
        for key, upload_id in stale:
            self._abort(key, upload_id)
        return len(stale)

    def _upload_whole(
        self, key: str, stream: BinaryIO, path: Opens, sha256_hex: str, size_bytes: int, progress: Progress
    ) -> str:
        content = b"".join(read_parts(stream, size_bytes))
        digest = hashlib.sha256(content)
        _require_unchanged(path, digest.hexdigest(), sha256_hex)
        self._put(key, content, digest.digest(), sha256_hex)
        progress(size_bytes)
        return base64_of(digest.digest())

    def _put(self, key: str, content: bytes, digest: bytes, sha256_hex: str) -> None:
        with typed_errors(f"store {key}"):
            self._client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=content,
                ChecksumSHA256=base64_of(digest),
                Metadata={"sha256": sha256_hex},
            )

    def _upload_parts(
        self, key: str, stream: BinaryIO, path: Opens, sha256_hex: str, size_bytes: int, progress: Progress
    ) -> str:
        with typed_errors(f"begin storing {key}"):
            upload_id = self._client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ChecksumAlgorithm="SHA256", Metadata={"sha256": sha256_hex}
            )["UploadId"]
        try:
            found_hex, digests, parts = self._send_parts(key, upload_id, stream, size_bytes, progress)
            _require_unchanged(path, found_hex, sha256_hex)
            with typed_errors(f"finish storing {key}"):
                self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
        except BaseException:
            # Ctrl-C as well: parts that nobody names are paid for until somebody finds them.
            self._abort_quietly(key, upload_id)
            raise
        return store_checksum(digests, size_bytes)

    def _send_parts(
        self, key: str, upload_id: str, stream: BinaryIO, size_bytes: int, progress: Progress
    ) -> tuple[str, list[bytes], list[dict[str, Any]]]:
        """Return the whole file's hash, the parts' digests, and what Complete must name. No thread is left behind."""
        whole, digests, parts = hashlib.sha256(), list[bytes](), list[dict[str, Any]]()
        flying: deque[tuple[int, Future[dict[str, Any]]]] = deque()

        def land() -> None:
            sent_bytes, future = flying.popleft()
            parts.append(future.result())
            progress(sent_bytes)

        with ThreadPoolExecutor(PARTS_IN_FLIGHT, thread_name_prefix="upload") as pool:
            try:
                for number, part in enumerate(read_parts(stream, size_bytes), start=1):
                    whole.update(part)
                    digests.append(hashlib.sha256(part).digest())
                    if len(flying) == PARTS_IN_FLIGHT:
                        land()
                    future = pool.submit(self._send_part, key, upload_id, number, part, digests[-1])
                    flying.append((len(part), future))
                while flying:
                    land()
            except BaseException:
                # Before the abort, or a part that lands after it would stay.
                pool.shutdown(cancel_futures=True)
                raise
        return whole.hexdigest(), digests, parts

    def _send_part(self, key: str, upload_id: str, number: int, part: bytes, digest: bytes) -> dict[str, Any]:
        with typed_errors(f"store part {number} of {key}"):
            answer = self._client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=part,
                ChecksumSHA256=base64_of(digest),
            )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": base64_of(digest)}

    def _require_stored(self, key: str, checksum: str, sha256_hex: str, size_bytes: int) -> ObjectInfo:
        """Return what is there, or remove it: a store that cannot show our checksum has not verified it."""
        info = self.head(key)
        if info is None:
            raise ObjectStoreError(f"the store accepted {key} but does not have it: publish again")
        if (info.checksum, info.sha256_hex, info.size_bytes) != (checksum, sha256_hex, size_bytes):
            self.delete(key)
            raise ChecksumMismatch(
                f"the store does not return the SHA-256 checksum that was sent for {key}: publish again; if this "
                "keeps happening, the store does not verify checksums and cannot be used"
            )
        return info

    def _abort(self, key: str, upload_id: str) -> None:
        with typed_errors(f"abort storing {key}"):
            try:
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            except ClientError as error:
                if code_of(error) != "NoSuchUpload":
                    raise

    def _abort_quietly(self, key: str, upload_id: str) -> None:
        try:
            self._abort(key, upload_id)
        except ObjectStoreError:
            return  # the first error is the one to tell; `abort_uploads` finds what is left


def _require_unchanged(path: Opens, found_hex: str, promised_hex: str) -> None:
    # A longer or shorter file has another hash: the size needs no comparison of its own.
    if found_hex != promised_hex:
        raise ChecksumMismatch(f"{path} has changed since it was hashed: do not change it, and publish again")


def _config(endpoint_url: str | None, addressing: str, attempts: int) -> Config:
    on_loopback = endpoint_url is not None and urlsplit(endpoint_url).hostname in {"127.0.0.1", "::1", "localhost"}
    return Config(
        signature_version="s3v4",  # boto3 still falls back to SigV2 for some calls
        s3={"addressing_style": addressing},
        connect_timeout=3,
        read_timeout=30,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=max(PARTS_IN_FLIGHT, REQUESTS_AT_ONCE) + 2,
        ignore_configured_endpoint_urls=True,  # AWS_ENDPOINT_URL would send the weights elsewhere
        request_checksum_calculation="when_required",  # every checksum is ours and SHA-256; botocore would add CRC32
        response_checksum_validation="when_required",
        proxies={} if on_loopback else None,  # HTTP_PROXY is for the outside
    )


def _headers(answer: Any) -> dict[str, str]:
    headers: dict[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers
