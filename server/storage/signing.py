"""Signed URLs: what the web asks of whatever signs them, wherever the bytes come from."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol
from urllib.parse import quote

_UNSAFE_IN_HEADER = re.compile(r"[^A-Za-z0-9._~ -]")


class StoredObject(NamedTuple):
    """What one URL is for. Kept in a list, it can be signed again and again.

    filename: what a browser saves it as; None leaves that to the key.
    version_id: pins one version where the bucket is versioned.
    """

    key: str
    filename: str | None = None
    version_id: str | None = None


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
    ) -> list[str]:
        """Return one URL for each object, in their order, every one naming the download as `x-download-id`.

        moment: when their life begins; None reads the clock. The moment of the decision makes the URLs
        end exactly when the log entry says, however late they are signed.
        Raises ValueError: a lifetime outside 1 to URL_LIFETIME_SECONDS_AT_MOST, a moment to come, no download id,
        an empty key.
        """


def content_disposition(filename: str) -> str:
    """Return the header that makes a browser save as `filename`: plain ASCII, and RFC 6266's exact form if needed."""
    plain = _UNSAFE_IN_HEADER.sub("_", filename)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
