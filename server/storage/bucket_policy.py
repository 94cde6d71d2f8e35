"""The bucket's policy: statements of ours, by which signed URLs and sessions die at the store, among others' own."""

import json
from collections.abc import Collection, Iterator
from typing import Any, Literal

from botocore.exceptions import ClientError

from server.storage.keys import S3Credentials
from server.storage.object_errors import status_of, typed_errors
from server.storage.objects import S3Objects

SID = "WeightgateHold"
SESSIONS_SID = "WeightgateHoldSessions"
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}  # by how a region's name begins


class BucketPolicy(S3Objects):
    """A bucket, with credentials that may read and replace its policy. One writer at a time: it replaces all of it."""

    def __init__(
        self, *, endpoint_url: str | None, region: str, bucket: str, addressing: Literal["path", "virtual"],
        credentials: S3Credentials, role_arn: str | None = None,
    ) -> None:  # fmt: skip
        """role_arn: the role whose sessions read what URLs do."""
        super().__init__(
            endpoint_url=endpoint_url, region=region, bucket=bucket, addressing=addressing, credentials=credentials
        )
        self._role_arn = role_arn

    def deny_signed(self, prefixes: Collection[str]) -> bool:
        """Refuse every URL for an object under exactly these prefixes; returns whether that was not so already.

        And the sessions of the role, if there is one, however they sign.

        A signed URL carries its signature in the query. Whoever signs in the header, as publishing does, goes on; a
        store that does not tell the two apart may leave the key out, which counts as another value.
        """
        before = self._statements()
        after = [one for one in before if one.get("Sid") not in {SID, SESSIONS_SID}]
        if prefixes:
            after += self._denials(prefixes)
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

    def _denials(self, prefixes: Collection[str]) -> Iterator[dict[str, Any]]:
        arn = f"arn:{partition_of(self._region)}:s3:::{self.bucket}"
        denied = {
            "Effect": "Deny",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": [f"{arn}/{prefix}*" for prefix in sorted(prefixes)],
        }
        signed = {"StringNotEquals": {"s3:authType": "REST-HEADER"}}
        yield {"Sid": SID, **denied, "Principal": "*", "Condition": signed}
        if self._role_arn is not None:
            yield {"Sid": SESSIONS_SID, **denied, "Principal": {"AWS": [self._role_arn]}}


def partition_of(region: str) -> str:
    """The part of AWS, as names of resources spell it."""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def _in_one_form(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stores answer a list of one as its item."""
    return [{name: [value] if isinstance(value, str) else value for name, value in one.items()} for one in statements]
