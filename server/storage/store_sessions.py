"""Sessions at the store: keys that the store itself makes, for one prefix and for a while (STS, AssumeRole).

The session policy only narrows what the role may do. The store keeps to it without us: until a session ends nothing
but a deny in the bucket's policy stops it.
"""

import json
import re
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
from botocore.config import Config

from server import traces
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

    def __init__(
        self, *, endpoint_url: str | None, region: str, bucket: str, role_arn: str, asker: Callable[[], S3Credentials]
    ) -> None:
        """endpoint_url: of STS; None means AWS. asker: the credentials that begin sessions, as they are now.

        Raises KeyFileError.
        """
        self._endpoint_url, self._region, self._bucket, self._role_arn = endpoint_url, region, bucket, role_arn
        self._is_aws = endpoint_url is None  # whose buckets may be encrypted with a key that has policies of its own
        self._asker = asker
        self._lock = threading.Lock()
        self._credentials = asker()
        self._client: Any = self._client_with(self._credentials)

    @traces.spanned("begin session")
    def begin(self, prefix: str, name: str, seconds: int) -> StoreSession:
        """Return keys that read and list what is below a prefix. name: by which the store's logs know the session.

        Raises ObjectStoreError, KeyFileError, or ValueError for what no policy or session can be made of.
        """
        place = partition_of(self._region)
        return self._begin(name, seconds, session_policy(self._bucket, prefix, place, decrypts=self._is_aws))

    def begin_for_urls(self, prefix: str, name: str, seconds: int, networks: Collection[str]) -> StoreSession:
        """The same of keys to sign URLs with: they list nothing, and work from these networks alone, if any."""
        place = partition_of(self._region)
        return self._begin(name, seconds, url_policy(self._bucket, prefix, networks, place, decrypts=self._is_aws))

    def _begin(self, name: str, seconds: int, policy: str) -> StoreSession:
        if seconds not in SECONDS or not _NAME.fullmatch(name):
            raise ValueError(f"a session has a name, and lasts {SECONDS.start} to {SECONDS.stop - 1} seconds")
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
        found = self._asker()
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


def session_policy(bucket: str, prefix: str, partition: str = "aws", *, decrypts: bool = False) -> str:
    """By which a session reads and lists below a prefix, and no more. Raises ObjectStoreError, ValueError.

    decrypts: also what is encrypted with a key of KMS, through S3 alone, as far as the role may.
    """
    arn = f"arn:{partition}:s3:::{bucket}"
    listing = {"StringLike": {"s3:prefix": [f"{prefix}*"]}}
    statements: list[dict[str, Any]] = [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"{arn}/{prefix}*"]},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [arn], "Condition": listing},
    ]
    return _policy(prefix, statements, decrypts)


def url_policy(
    bucket: str, prefix: str, networks: Collection[str], partition: str = "aws", *, decrypts: bool = False
) -> str:
    """By which URLs read below a prefix, also pinned versions, and from these networks alone, if there are any.

    decrypts: as above. Raises ObjectStoreError, ValueError.
    """
    actions = ["s3:GetObject", "s3:GetObjectVersion"]
    reading: dict[str, Any] = {
        "Effect": "Allow", "Action": actions, "Resource": [f"arn:{partition}:s3:::{bucket}/{prefix}*"]
    }  # fmt: skip
    if networks:
        reading["Condition"] = {"IpAddress": {"aws:SourceIp": sorted(networks)}}
    return _policy(prefix, [reading], decrypts)


def _policy(prefix: str, statements: list[dict[str, Any]], decrypts: bool) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a session is for a prefix of plain characters that ends with a slash")
    if decrypts:
        through_s3 = {"StringLike": {"kms:ViaService": ["s3.*"]}}
        statements.append({"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": ["*"], "Condition": through_s3})
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > POLICY_CHARACTERS_AT_MOST:
        raise ObjectStoreError(f"a session policy for {prefix} has more than {POLICY_CHARACTERS_AT_MOST} characters")
    return policy
