"""Sessions at the store: keys that the store itself makes, for one prefix and for a while (STS, AssumeRole).

The session policy only narrows what the role may do. The store keeps to it without us: until a session ends nothing
but a deny in the bucket's policy stops it.
"""

import json
import re
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from server import traces
from server.storage import keys
from server.storage.bucket_policy import partition_of
from server.storage.keys import S3Credentials
from server.storage.object_errors import ObjectStoreError, typed_errors

POLICY_CHARACTERS_AT_MOST = 2048
SECONDS = range(900, 43_201)
_TIMEOUT_SECONDS = 5
_PREFIX = re.compile(r"[A-Za-z0-9._/-]+/")  # in a policy, none of it stands for anything else
_NAME = re.compile(r"[A-Za-z0-9+=,.@_-]{2,64}")


@dataclass(frozen=True, slots=True)
class StoreSession:
    """Keys that the store made, and until when it takes them."""

    credentials: S3Credentials
    expires_at: datetime


class StoreSessions:
    """Begins sessions of one role, with a key that may do nothing else. Safe to share between threads."""

    def __init__(self, *, endpoint_url: str | None, region: str, bucket: str, role_arn: str, key_file: Path) -> None:
        """endpoint_url: of STS; None means AWS. Raises KeyFileError."""
        self._endpoint_url, self._region, self._bucket, self._role_arn = endpoint_url, region, bucket, role_arn
        self._key_file = key_file
        self._lock = threading.Lock()
        self._credentials = keys.read_s3_credentials(key_file)
        self._client: Any = self._client_with(self._credentials)

    @traces.spanned("begin session")
    def begin(self, prefix: str, name: str, seconds: int) -> StoreSession:
        """Return keys that read what is below a prefix. name: by which the store's logs know the session.

        Raises ObjectStoreError, KeyFileError, or ValueError for what no policy or session can be made of.
        """
        if seconds not in SECONDS or not _NAME.fullmatch(name):
            raise ValueError(f"a session has a name, and lasts {SECONDS.start} to {SECONDS.stop - 1} seconds")
        policy = session_policy(self._bucket, prefix, partition_of(self._region))
        with typed_errors("begin a session"):
            answer = self._current().assume_role(
                RoleArn=self._role_arn, RoleSessionName=name, DurationSeconds=seconds, Policy=policy
            )
        made = answer["Credentials"]
        credentials = S3Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
        return StoreSession(credentials, made["Expiration"])

    def close(self) -> None:
        self._client.close()

    def _current(self) -> Any:
        """The client of the key that the file holds now: one that was replaced at the store needs no restart."""
        found = keys.read_s3_credentials(self._key_file)
        with self._lock:
            if found != self._credentials:
                self._client, self._credentials = self._client_with(found), found
            return self._client

    def _client_with(self, credentials: S3Credentials) -> Any:
        return boto3.client(
            "sts",
            endpoint_url=self._endpoint_url,
            region_name=self._region,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=Config(
                connect_timeout=_TIMEOUT_SECONDS, read_timeout=_TIMEOUT_SECONDS, retries={"total_max_attempts": 1}
            ),
        )


def session_policy(bucket: str, prefix: str, partition: str = "aws") -> str:
    """By which a session reads and lists below a prefix, and no more. Raises ObjectStoreError, ValueError."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a session is for a prefix of plain characters that ends with a slash")
    arn = f"arn:{partition}:s3:::{bucket}"
    listing = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    statements = [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{arn}/{prefix}*"]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], "Condition": listing},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > POLICY_CHARACTERS_AT_MOST:
        raise ObjectStoreError(f"a session policy for {prefix} has more than {POLICY_CHARACTERS_AT_MOST} characters")
    return policy
