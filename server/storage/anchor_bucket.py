"""The bucket of the anchors: objects are created there once, and never replaced."""

import hashlib

from botocore.exceptions import ClientError

from server.storage.object_errors import status_of, typed_errors
from server.storage.object_parts import base64_of
from server.storage.objects import S3Objects


class AnchorBucket(S3Objects):
    """A bucket of its own, with credentials that can create, read and list there, and nothing else."""

    def create(self, key: str, content: bytes, **headers: str) -> bool:
        """Store an object unless there is one by that key; returns whether it was stored. headers: as boto3 names them.

        It goes with its hash: without one, the embedded store keeps an empty object when its writer dies before the
        body, and that could never be replaced.
        """
        checksum = base64_of(hashlib.sha256(content).digest())
        with typed_errors(f"create {key}"):
            try:
                self._client.put_object(
                    Bucket=self.bucket, Key=key, Body=content, ChecksumSHA256=checksum, IfNoneMatch="*", **headers
                )
            except ClientError as error:
                if status_of(error) == 412:
                    return False
                raise
        return True

    def keys_after(self, prefix: str, key: str) -> list[str]:
        """The keys with this prefix that sort after `key`, in their order; which need not be there itself."""
        with typed_errors(f"list {prefix}"):
            paginator = self._client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, StartAfter=key)
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
