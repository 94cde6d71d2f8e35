"""Attachments in the store: below a prefix of their own, put there by whoever was given a URL for these very bytes."""

from functools import cached_property
from urllib.parse import urlsplit

from server.storage.object_errors import typed_errors
from server.storage.object_parts import base64_of
from server.storage.objects import S3Objects

CONTENT_TYPE = "application/octet-stream"  # whatever it is, no browser shows it


class AttachmentObjects(S3Objects):
    """The bucket, with a key that opens the prefix `findings/` and nothing else of it."""

    @cached_property
    def origin(self) -> str:
        """Scheme and host of every upload's URL: where a page's script sends files to."""
        url, _ = self.upload_url("findings/0", bytes(32), 1, 1)
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}"

    def upload_url(self, key: str, sha256: bytes, size_bytes: int, lifetime_seconds: int) -> tuple[str, dict[str, str]]:
        """Return a URL for one PUT, and the headers that it must carry: the signature covers length, hash and type.

        sha256: the digest of the content, which a store that checks it holds against what arrives.
        """
        headers = {
            "Content-Length": str(size_bytes),
            "Content-Type": CONTENT_TYPE,
            "x-amz-checksum-sha256": base64_of(sha256),
        }
        with typed_errors(f"sign an upload of {key}"):
            url: str = self._client.generate_presigned_url(
                "put_object",
                Params={
                    "Bucket": self.bucket, "Key": key, "ContentLength": size_bytes, "ContentType": CONTENT_TYPE,
                    "ChecksumSHA256": headers["x-amz-checksum-sha256"],
                },
                ExpiresIn=lifetime_seconds,
            )  # fmt: skip
        return url, headers
