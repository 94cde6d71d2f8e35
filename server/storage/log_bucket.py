"""The buckets for what leaves the log: its mirror, and its months."""

from typing import Any

from server.storage.anchor_bucket import AnchorBucket
from server.storage.object_errors import typed_errors


class LogBucket(AnchorBucket):
    """A folder in a bucket, with credentials that can create, read and list there. folder: empty, or ends in a /."""

    def __init__(self, place: str, **how: Any) -> None:
        """place: `bucket` or `bucket/folder`. how: as of S3Objects."""
        bucket, _, folder = place.partition("/")
        self.folder = f"{folder}/" if folder else ""
        super().__init__(bucket=bucket, **how)

    def replace(self, key: str, content: bytes, **headers: str) -> None:
        """Store an object, whatever is there. headers: as boto3 names them."""
        with typed_errors(f"store {key}"):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=content, **headers)
