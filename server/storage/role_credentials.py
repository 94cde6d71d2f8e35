"""Role credentials: the signer's, as the machine that it runs on gets them and they expire, with no key in any file.

By the ways of AWS' libraries that belong to the machine alone: a web identity (Kubernetes), the container's (ECS, EKS),
the instance's (EC2, IMDSv2 only). Not by AWS_ACCESS_KEY_ID or ~/.aws: whoever starts the server by hand has those.
They are asked for in the background; who signs looks at what was got last.
"""

import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from server.storage.keys import KeyFileError, S3Credentials
from server.storage.outside import OutsideFault

ASKED_BEFORE = timedelta(minutes=15)  # their end; the machine's own service may have newer ones only 5 minutes before
URLS_END_BEFORE = timedelta(seconds=60)  # theirs: a clock may differ by as much
LIVE_AT_LEAST = timedelta(seconds=120)
DECIDED_WITHIN = timedelta(seconds=15)  # between asking how long a URL may live, and the moment from which it does
TIMEOUT_SECONDS, ATTEMPTS = 2, 3

Clock = Callable[[], datetime]
logger = structlog.get_logger(__name__)


class RoleUnavailable(KeyFileError):
    """The machine has no role, or its credentials cannot be had. The text says what was asked, and no secret."""


@dataclass(frozen=True, slots=True)
class Lent:
    """Credentials, and until when the store takes them."""

    credentials: S3Credentials
    expires_at: datetime


class RoleCredentials:
    """What the machine's role was lent last. Safe to share between threads."""

    def __init__(self, load: Callable[[], Lent], clock: Clock) -> None:
        """load: asks for them, now. Raises RoleUnavailable."""
        self._load, self._clock = load, clock
        self._asking = threading.Lock()
        self._lent = load()

    def lent(self) -> Lent:
        """Asks nobody."""
        return self._lent

    def longest(self, lifetime_seconds: int) -> int:
        """How long URLs may live that are issued now, at most as long as is asked. Raises OutsideFault: too short."""
        left = self._lent.expires_at - self._clock()
        if left < LIVE_AT_LEAST:
            raise OutsideFault(
                f"the signer's role credentials end in {max(left.total_seconds(), 0):.0f} s and could not be renewed: "
                "check the role of this machine"
            )
        return min(lifetime_seconds, int((left - URLS_END_BEFORE - DECIDED_WITHIN).total_seconds()))

    def require_outlives(self, ends_at: datetime) -> None:
        """Raise OutsideFault for a URL that would end with these credentials, and not when it says."""
        if ends_at > self._lent.expires_at - URLS_END_BEFORE:
            raise OutsideFault("the signer's role credentials end before the URL would: try again in a few seconds")

    def renew(self) -> None:
        """Ask for newer ones where these end soon; what fails is told, and these are kept."""
        if self._lent.expires_at - self._clock() > ASKED_BEFORE or not self._asking.acquire(blocking=False):
            return
        try:
            self._lent = self._load()
        except RoleUnavailable as error:
            logger.warning("role credentials could not be renewed", reason=str(error))
        finally:
            self._asking.release()


def load(region: str, sts_endpoint_url: str | None = None) -> Lent:
    """Ask for the credentials of the role that this process runs under. Raises RoleUnavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = _resolver(region, sts_endpoint_url).load_credentials()
        frozen = None if found is None else found.get_frozen_credentials()  # a web identity is exchanged only now
    except (BotoCoreError, ClientError) as error:
        raise RoleUnavailable(f"role credentials could not be had ({type(error).__name__}): check the role") from None
    if frozen is None or found is None:
        raise RoleUnavailable(
            "this machine has no role: give it one (instance profile, task role, or service account), or set "
            "signer_credentials to file"
        )
    expires_at = getattr(found, "_expiry_time", None)
    if not isinstance(expires_at, datetime) or frozen.token is None:
        raise RoleUnavailable("the role's credentials do not say when they end, so no URL can be bound to it")
    return Lent(S3Credentials(frozen.access_key, frozen.secret_key, frozen.token), expires_at)


def _resolver(region: str, sts_endpoint_url: str | None) -> Any:
    from botocore import credentials
    from botocore.utils import InstanceMetadataFetcher

    from server.storage.signing_check import deaf_session

    client_creator = functools.partial(
        deaf_session().create_client, region_name=region, endpoint_url=sts_endpoint_url
    )  # fmt: skip
    endpoint = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    instance = InstanceMetadataFetcher(
        timeout=TIMEOUT_SECONDS, num_attempts=ATTEMPTS,
        config={"ec2_metadata_v1_disabled": True, "ec2_metadata_service_endpoint": endpoint},
    )  # fmt: skip
    return credentials.CredentialResolver([
        credentials.AssumeRoleWithWebIdentityProvider(dict, client_creator, "default"),
        credentials.ContainerProvider(),
        credentials.InstanceMetadataProvider(iam_role_fetcher=instance),
    ])  # fmt: skip
