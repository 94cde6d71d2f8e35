"""What a bucket keeps of objects that are overwritten or deleted, as far as its store tells."""

from typing import Any

from botocore.exceptions import ClientError

from server.storage.object_errors import typed_errors
from server.storage.objects import S3Objects

_NO_LOCK = "ObjectLockConfigurationNotFoundError"  # said of a bucket that has none; whatever else is no answer


class BucketProtection(S3Objects):
    """A bucket, and what may be asked about it. None is the answer where the store has no such feature, or the key no
    right to ask. Raises ObjectStoreUnavailable.
    """

    def keeps_versions(self) -> bool | None:
        answer = self._ask("get_bucket_versioning")
        return None if answer is None else answer.get("Status") == "Enabled"

    def locks_objects(self) -> bool | None:
        answer = self._ask("get_object_lock_configuration")
        if answer is None:
            return None
        return bool(answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") == "Enabled")

    def _ask(self, what: str) -> dict[str, Any] | None:
        with typed_errors(f"ask about {self.bucket}"):
            try:
                answer: dict[str, Any] = getattr(self._client, what)(Bucket=self.bucket)
            except ClientError as error:
                return {} if error.response.get("Error", {}).get("Code") == _NO_LOCK else None
        return answer
