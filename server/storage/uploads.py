"""Uploads in the store: parts that somebody without a key of it may send, each by a URL for these very bytes.

They lie below a prefix of their own. Nobody is ever given a URL for a whole object, and one that has been put together
takes no more parts: from then on nobody changes it whose key is not ours.
"""

import io
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal

from botocore.exceptions import ClientError

from server.storage.object_errors import code_of, status_of, typed_errors
from server.storage.object_parts import base64_of
from server.storage.objects import ObjectStoreError, S3Objects

PREFIX = "uploads/"
_TRIES = 3  # of a read that breaks off
_LOST = {"NoSuchUpload", "NoSuchKey"}


class UploadObjects(S3Objects):
    """The bucket, with a key that opens the prefix `uploads/` and nothing else of it; or with the publisher's."""

    def begin(self, key: str) -> str:
        """Begin an object of parts; return the store's name for the attempt."""
        with typed_errors(f"begin storing {key}"):
            begun = self._client.create_multipart_upload(Bucket=self.bucket, Key=key, ChecksumAlgorithm="SHA256")
        name: str = begun["UploadId"]
        return name

    def part_url(
        self, key: str, attempt: str, number: int, sha256: bytes, size_bytes: int, lifetime_seconds: int
    ) -> tuple[str, dict[str, str]]:
        """Return a URL for one PUT of one part, and the headers that it must carry: the signature covers both.

        number: from 1. sha256: the digest of the part, which the store holds against what arrives.
        """
        headers = {"Content-Length": str(size_bytes), "x-amz-checksum-sha256": base64_of(sha256)}
        with typed_errors(f"sign part {number} of {key}"):
            url: str = self._client.generate_presigned_url(
                "upload_part",
                Params={
                    "Bucket": self.bucket, "Key": key, "UploadId": attempt, "PartNumber": number,
                    "ContentLength": size_bytes, "ChecksumSHA256": headers["x-amz-checksum-sha256"],
                },
                ExpiresIn=lifetime_seconds,
            )  # fmt: skip
        return url, headers

    def arrived(self, key: str, attempt: str) -> Mapping[int, "Part"] | None:
        """Return the parts that the store holds, by number; None when it knows no such attempt (any more)."""
        with typed_errors(f"list the parts of {key}"):
            try:
                pages = self._client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=attempt)
                found = [part for page in pages for part in page.get("Parts", [])]
            except ClientError as error:
                if code_of(error) in _LOST or status_of(error) == 404:
                    return None
                raise
        # A part that was sent twice can stand there twice: the last one counts, as when the object is put together.
        return {part["PartNumber"]: Part(part["Size"], part["ETag"]) for part in found}

    def put_together(self, key: str, attempt: str, parts: Mapping[int, "Part"], digests: Collection[bytes]) -> None:
        """Make the object of its parts, in the order of their numbers. digests: their SHA-256, in the same order.

        The store compares each digest with the one that the part was received under.
        """
        named = [
            {"PartNumber": number, "ETag": parts[number].etag, "ChecksumSHA256": base64_of(digest)}
            for number, digest in enumerate(digests, start=1)
        ]
        with typed_errors(f"finish storing {key}"):
            self._client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=attempt, MultipartUpload={"Parts": named}
            )

    def attempts(self) -> list[tuple[str, str, datetime]]:
        """Return what was begun and never put together: key, the store's name for it, and since when."""
        with typed_errors("list unfinished uploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=PREFIX)
            return [
                (one["Key"], one["UploadId"], one["Initiated"]) for page in pages for one in page.get("Uploads", [])
            ]

    def abort(self, key: str, attempt: str) -> None:
        """Forget an attempt with all its parts; one that is not there is no error."""
        self._abort(key, attempt)

    def location(self, key: str, size_bytes: int, etag: str) -> "StoredLocation":
        """Where one version of an object is read from. Reading another one is refused by the store."""

        def read(begin: int) -> Any:
            with typed_errors(f"read {key}"):
                return self._client.get_object(
                    Bucket=self.bucket, Key=key, Range=f"bytes={begin}-", IfMatch=f'"{etag}"'
                )["Body"]

        return StoredLocation(key, size_bytes, read)


@dataclass(frozen=True, slots=True)
class Part:
    """What the store says of a part that it holds."""

    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class StoredLocation:
    """An object that is read like a file."""

    key: str
    size_bytes: int
    read_from: Callable[[int], Any]  # the body from a byte on

    def open(self, _mode: Literal["rb"], /) -> BinaryIO:
        return _Stream(self)  # type: ignore[return-value]  # it reads and seeks; nobody writes

    def __str__(self) -> str:
        return self.key


class _Stream(io.RawIOBase):
    """Reads an object from front to back over one connection; after a seek over another one."""

    def __init__(self, location: StoredLocation) -> None:
        super().__init__()
        self._location = location
        self._position = 0
        self._body: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._location.size_bytes}[whence]
        if base + offset != self._position:
            self._hang_up()
            self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as there is. Raises ObjectStoreError."""
        view, filled, tries = memoryview(buffer).cast("B"), 0, 0
        wanted = max(0, min(len(view), self._location.size_bytes - self._position))
        while filled < wanted:
            try:
                piece = self._piece(wanted - filled)
            except ObjectStoreError:
                self._hang_up()
                if (tries := tries + 1) == _TRIES:
                    raise
                continue
            view[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._position += len(piece)
        return filled

    def close(self) -> None:
        self._hang_up()
        super().close()

    def _piece(self, wanted: int) -> bytes:
        if self._body is None:
            self._body = self._location.read_from(self._position)
        with typed_errors(f"read {self._location.key}"):
            piece: bytes = self._body.read(wanted)
        if not piece:
            raise ObjectStoreError(f"the object store gave only a part of {self._location.key}: try again")
        return piece

    def _hang_up(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
