"""The bucket's policy: one statement of ours, by which signed URLs die at the store, among whatever others wrote."""

import json
from collections.abc import Collection
from typing import Any

from botocore.exceptions import ClientError

from server.storage.object_errors import status_of, typed_errors
from server.storage.objects import S3Objects

SID = "WeightgateHold"
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}  # by how a region's name begins


class BucketPolicy(S3Objects):
    """A bucket, with credentials that may read and replace its policy. One writer at a time: it replaces all of it."""

    def deny_signed(self, prefixes: Collection[str]) -> bool:
        """Refuse every URL for an object under exactly these prefixes; returns whether that was not so already.

        A signed URL carries its signature in the query. Whoever signs in the header, as publishing does, goes on; a
        store that does not tell the two apart may leave the key out, which counts as another value.
        """
        before = self._statements()
        after = [one for one in before if one.get("Sid") != SID] + ([self._deny(prefixes)] if prefixes else [])
        if _in_one_form(after) == _in_one_form(before):
            return False
        with typed_errors(f"change the policy of bucket {self.bucket}"):
            if after:
                policy = {"Version": "2012-10-17", "Statement": after}
                self._client.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))
            else:
                self._client.delete_bucket_policy(Bucket=self.bucket)
        return True

    def _statements(self) -> list[dict[str, Any]]:
        with typed_errors(f"read the policy of bucket {self.bucket}"):
            try:
                policy = json.loads(self._client.get_bucket_policy(Bucket=self.bucket)["Policy"])
            except ClientError as error:
                if status_of(error) == 404:  # there is none
                    return []
                raise
        found = policy.get("Statement", [])
        return [found] if isinstance(found, dict) else list(found)

    def _deny(self, prefixes: Collection[str]) -> dict[str, Any]:
        partition = next((name for start, name in _PARTITIONS.items() if self._region.startswith(start)), "aws")
        return {
            "Sid": SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": [f"arn:{partition}:s3:::{self.bucket}/{prefix}*" for prefix in sorted(prefixes)],
            "Condition": {"StringNotEquals": {"s3:authType": "REST-HEADER"}},
        }


def _in_one_form(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stores answer a list of one as its item."""
    return [{name: [value] if isinstance(value, str) else value for name, value in one.items()} for one in statements]
