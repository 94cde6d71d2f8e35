"""Listings: the keys of the stage that a key of ours opens, in both versions of S3's list.

Without a checkpoint in the prefix they are those of `main` alone: whoever copies a folder wants it once.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from flask import Response

from server import dates
from server.domain.callers import Caller
from server.domain.downloads import keyed_downloads
from server.domain.errors import NoSuchCheckpoint
from server.domain.identity.s3_keys import BUCKET, S3Key
from server.domain.publish.checkpoints import MAIN, File
from server.domain.resources import Resources
from server.web.s3 import addresses, xml
from server.web.s3.refusals import Fault

KEYS_AT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which keys are asked for. after: the key or common prefix after which the list goes on."""

    prefix: str
    delimiter: str
    after: str
    at_most: int
    encoded: bool

    def text(self, value: str) -> str:
        return quote(value, safe="/-_.~*()!'") if self.encoded else value


@dataclass(slots=True)
class Part:
    """What one answer lists. next_after: where the next one goes on; "" at the end."""

    keys: list[tuple[str, File]] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_after: str = ""

    @property
    def count(self) -> int:
        return len(self.keys) + len(self.prefixes)


def second(use: Resources, caller: Caller, key: S3Key, query: Mapping[str, str]) -> Response:
    """ListObjectsV2."""
    token = query.get("continuation-token")
    after = query.get("start-after", "") if token is None else _decoded(token)
    wanted = _wanted(query, after)
    part, at = _part(use, caller, key, wanted)
    items: list[Any] = [*_head(wanted, part), ("KeyCount", part.count)]
    if token is not None:
        items.append(("ContinuationToken", token))
    if part.next_after:
        items.append(("NextContinuationToken", base64.urlsafe_b64encode(part.next_after.encode()).decode()))
    if "start-after" in query:
        items.append(("StartAfter", wanted.text(query["start-after"])))
    return xml.answer("ListBucketResult", [*items, *_listed(wanted, part, at)])


def first(use: Resources, caller: Caller, key: S3Key, query: Mapping[str, str]) -> Response:
    """ListObjects, the first version, which rclone asks for where it does not know the store."""
    wanted = _wanted(query, query.get("marker", ""))
    part, at = _part(use, caller, key, wanted)
    items: list[Any] = [*_head(wanted, part), ("Marker", wanted.text(wanted.after))]
    if part.next_after:
        items.append(("NextMarker", wanted.text(part.next_after)))
    return xml.answer("ListBucketResult", [*items, *_listed(wanted, part, at)])


def _wanted(query: Mapping[str, str], after: str) -> Wanted:
    at_most, encoding = query.get("max-keys", str(KEYS_AT_MOST)), query.get("encoding-type")
    if not (at_most.isascii() and at_most.isdigit() and len(at_most) < 11):
        raise Fault("InvalidArgument", "max-keys is not a whole number from 0 to 2147483647.")
    if encoding not in {None, "url"}:
        raise Fault("InvalidArgument", "The only encoding-type is url.")
    count = min(int(at_most), KEYS_AT_MOST)
    return Wanted(query.get("prefix", ""), query.get("delimiter", ""), after, count, encoding is not None)


def _decoded(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise Fault("InvalidArgument", "The continuation token is not one of ours.") from None


def _part(use: Resources, caller: Caller, key: S3Key, wanted: Wanted) -> tuple[Part, datetime | None]:
    stage, checkpoint, _ = addresses.split(wanted.prefix)
    is_named = wanted.prefix.count("/") > 1 or checkpoint != MAIN or keyed_downloads.opens(use, key, stage)
    try:
        name, listed = keyed_downloads.listing(use, caller, key, stage if is_named else None, checkpoint)
    except NoSuchCheckpoint:
        return Part(), None
    folder = name if checkpoint == MAIN else f"{name}@{checkpoint}"
    keys = ((f"{folder}/{path}", file) for path, file in sorted(listed.files.items()))
    return cut(keys, wanted), listed.created_at


def cut(keys: Iterator[tuple[str, File]], wanted: Wanted) -> Part:
    """Return what a list of sorted keys comes to: those with the prefix, and folded at the delimiter."""
    part, last, prefix = Part(), "", wanted.prefix
    for key, file in keys:
        if not key.startswith(prefix):
            continue
        before, found, _ = key[len(prefix) :].partition(wanted.delimiter) if wanted.delimiter else (key, "", "")
        item = f"{prefix}{before}{found}" if found else key
        if key <= wanted.after or item == wanted.after or item == last:
            continue
        if part.count >= wanted.at_most:
            part.next_after = last
            break
        last = item
        if found:
            part.prefixes.append(item)
        else:
            part.keys.append((key, file))
    return part


def _head(wanted: Wanted, part: Part) -> Iterator[Any]:
    yield "Name", BUCKET
    yield "Prefix", wanted.text(wanted.prefix)
    if wanted.delimiter:
        yield "Delimiter", wanted.text(wanted.delimiter)
    yield "MaxKeys", wanted.at_most
    yield "IsTruncated", bool(part.next_after)
    if wanted.encoded:
        yield "EncodingType", "url"


def _listed(wanted: Wanted, part: Part, at: datetime | None) -> Iterator[Any]:
    for key, file in part.keys:
        yield (
            "Contents",
            [
                ("Key", wanted.text(key)), ("LastModified", "" if at is None else f"{dates.rfc3339(at)[:-1]}.000Z"),
                ("ETag", f'"{file.sha256}"'), ("Size", file.size_bytes), ("StorageClass", "STANDARD"),
            ],
        )  # fmt: skip
    for prefix in part.prefixes:
        yield "CommonPrefixes", [("Prefix", wanted.text(prefix))]
