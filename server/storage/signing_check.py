"""botocore's presigner, set up to mean what ours means: the reference for server start, tests and bench."""

import functools
import os
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from server.storage.keys import S3Credentials
from server.storage.signing import StoredObject, content_disposition
from server.storage.signing_s3 import Addressing, S3Signer

SAMPLES = (
    StoredObject("gpt-2/774M/start-check/model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors"),
    StoredObject("start check/+%~//ü", 'ü "quoted"', "version/1"),
    StoredObject("gpt-2/774M/start-check/config.json"),
)


class SigningMismatch(Exception):
    """Our signed URL differs from botocore's, so the store would refuse it or mean something else by it."""


class BotocoreSigner:
    """Signs one URL at a time with one botocore client, deaf to AWS_* variables and ~/.aws."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        region: str,
        bucket: str,
        addressing: Addressing,
        credentials: S3Credentials,
    ) -> None:
        from botocore.config import Config

        self._client: Any = deaf_session().create_client(
            "s3",
            region_name=region,
            endpoint_url=endpoint_url,
            aws_access_key_id=credentials.access_key_id,
            aws_secret_access_key=credentials.secret_access_key,
            aws_session_token=credentials.session_token,
            config=Config(
                # Without these two, botocore may presign SigV2, and us-east-1 on the global host.
                signature_version="s3v4",
                s3={"addressing_style": addressing, "us_east_1_regional_endpoint": "regional"},
                ignore_configured_endpoint_urls=True,
                use_dualstack_endpoint=False,
                use_fips_endpoint=False,
            ),
        )
        self._bucket = bucket
        self._download_id = ""
        # A parameter that GetObject's model does not know can be added in one place only: on the finished request,
        # which "before-sign" hands out just before the query signer folds `params` into the URL.
        self._client.meta.events.register("before-sign.s3.GetObject", self._add_download_id)

    def sign(self, item: StoredObject, *, download_id: str, lifetime_seconds: int) -> str:
        """Return botocore's URL, dated by botocore's clock. Not for threads: the download id is passed on the side."""
        self._download_id = download_id
        parameters = {"Bucket": self._bucket, "Key": item.key}
        if item.filename is not None:
            parameters["ResponseContentDisposition"] = content_disposition(item.filename)
        if item.version_id is not None:
            parameters["VersionId"] = item.version_id
        url: str = self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=lifetime_seconds)
        return url

    def _add_download_id(self, request: Any, **_: object) -> None:
        request.params["x-download-id"] = self._download_id


@functools.cache
def deaf_session() -> Any:
    """botocore's session, deaf to ~/.aws. One for all, since it reads S3's model anew: 60 ms, and a client takes 4."""
    # Imported here: the module costs 0.3 s, and most commands sign nothing.
    from botocore.session import Session

    unset = (None, None, None, None)
    no_file = (None, None, os.devnull, None)
    return Session(session_vars={"profile": unset, "config_file": no_file, "credentials_file": no_file})


def self_check(signer: S3Signer, credentials: S3Credentials) -> None:
    """Compare a few of the signer's URLs with botocore's, made for the same second.

    Raises SigningMismatch: the server must not start. Neither URL is in its text, for both would work.
    """
    reference = BotocoreSigner(
        endpoint_url=signer.endpoint_url,
        region=signer.region,
        bucket=signer.bucket,
        addressing=signer.addressing,
        credentials=credentials,
    )
    for sample in SAMPLES:
        expected = reference.sign(sample, download_id="start check", lifetime_seconds=60)
        twin = signer.with_clock(functools.partial(signed_at, expected))
        if twin.sign([sample], download_id="start check", lifetime_seconds=60) != [expected]:
            raise SigningMismatch(
                "this server's URL signer and botocore disagree, so no link would work: check the endpoint, "
                "region, bucket and addressing, and whether botocore was updated"
            )


def signed_at(url: str) -> datetime:
    """Return the second at which the life of a signed URL begins, so that it can be signed again and compared."""
    (stamp,) = parse_qs(urlsplit(url).query)["X-Amz-Date"]
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
