"""Signed URLs: what the web asks of whatever signs them, wherever the bytes come from."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from urllib.parse import quote

from server.settings import URL_LIFETIME_SECONDS_AT_MOST

_UNSAFE_IN_HEADER = re.compile(r"[^A-Za-z0-9._~ -]")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]+")


class StoredObject(NamedTuple):
    """What one URL is for. Kept in a list, it can be signed again and again.

    filename: what a browser saves it as; None leaves that to the key.
    version_id: pins one version where the bucket is versioned.
    """

    key: str
    filename: str | None = None
    version_id: str | None = None


class Recipient(NamedTuple):
    """Whom URLs are for, as far as a store can be told.

    address: where they ask from; None where nobody knows. organization: its slug; None for whoever is not signed in.
    networks: from which alone their token may be used; none stands for any.
    """

    address: str | None = None
    organization: str | None = None
    networks: tuple[str, ...] = ()


NOBODY = Recipient()


class UrlSigner(Protocol):
    """Signs GET URLs for the objects of one place. Safe to share between threads; its text never shows a secret."""

    @property
    def origin(self) -> str:
        """Scheme and host of every URL: where a page's form is sent on to."""

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, in their order, every one naming the download as `x-download-id`.

        moment: when their life begins; None reads the clock. The moment of the decision makes the URLs
        end exactly when the log entry says, however late they are signed. recipient: for signers that can bind to one.
        Raises ValueError: a lifetime outside 1 to URL_LIFETIME_SECONDS_AT_MOST, a moment to come, no download id,
        an empty key.
        """


def content_disposition(filename: str) -> str:
    """Return the header that makes a browser save as `filename`: plain ASCII, and RFC 6266's exact form if needed."""
    plain = _UNSAFE_IN_HEADER.sub("_", filename)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def require_sensible(download_id: str, lifetime_seconds: int, moment: datetime | None, now: datetime) -> None:
    """Raise ValueError for what no URL may be signed with, whoever signs it."""
    if moment is not None and moment > now:
        # Some stores take such a URL at once, and it would live from now until the end of that later life.
        raise ValueError("URLs cannot be signed for a time in the future: the clock may have been set back")
    if not 1 <= lifetime_seconds <= URL_LIFETIME_SECONDS_AT_MOST:
        raise ValueError(
            f"a signed URL must be valid for 1 to {URL_LIFETIME_SECONDS_AT_MOST} seconds, not {lifetime_seconds}"
        )
    if not download_id:
        raise ValueError("a URL without a download ID could not be traced in the log")
    if now.tzinfo is None:
        raise ValueError("the time of signing has no time zone: a clock must return aware UTC")


def object_query(filename: str | None, version_id: str | None) -> str:
    """Return the parameters that differ between objects, each followed by `&`, in the alphabet's order."""
    query = ""
    if filename is not None:
        if _UNRESERVED.fullmatch(filename):  # nearly always; what `quote` would make of the header, ten times faster
            query = f"response-content-disposition=attachment%3B%20filename%3D%22{filename}%22&"
        else:
            query = f"response-content-disposition={quote(content_disposition(filename), safe='')}&"
    return query if version_id is None else f"{query}versionId={quote(version_id, safe='')}&"
