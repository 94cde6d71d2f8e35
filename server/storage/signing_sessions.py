"""Signed URLs by sessions of the store's (STS): one for each organization, checkpoint and the networks of its token.

A session is named after the organization, so the store's own logs say whose a read was. The store keeps to its policy:
a URL opens nothing outside its checkpoint, and works from nowhere but the networks that the token may be used from.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from server.storage.keys import S3Credentials
from server.storage.role_credentials import URLS_END_BEFORE
from server.storage.signing import NOBODY, Recipient, StoredObject, UrlSigner
from server.storage.store_sessions import StoreSession, StoreSessions

SESSION_SECONDS = 3600  # the longest where a role begins them (role chaining), and what every role allows
KEPT_AT_MOST = 1000
PUBLIC = "not-signed-in"  # no organization may use it: sessions of public stages
_PARTS_OF_PREFIX = 4  # checkpoints/MODEL/STAGE/ID/

_Known = tuple[str, str, tuple[str, ...]]  # organization, prefix, networks


class SessionSigner:
    """Signs for checkpoints with sessions that it keeps until shortly before they end. Safe for threads."""

    def __init__(
        self, sessions: StoreSessions, make: Callable[[S3Credentials], UrlSigner], origin: str,
        clock: Callable[[], datetime],
    ) -> None:  # fmt: skip
        """make: the signer with a session's credentials, for URLs of this origin."""
        self.origin = origin
        self._sessions, self._make, self._clock = sessions, make, clock
        self._kept: dict[_Known, tuple[StoreSession, UrlSigner]] = {}
        self._beginning = threading.Lock()

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, as every UrlSigner does.

        Raises ObjectStoreError or KeyFileError, too: no session could be begun. ValueError: no one checkpoint's.
        """
        items = list(objects)
        if not items:
            return []
        begins = self._clock() if moment is None else moment
        known = (recipient.organization or PUBLIC, prefix_of(items), recipient.networks)
        signer = self._signer(known, begins + timedelta(seconds=lifetime_seconds) + URLS_END_BEFORE)
        return signer.sign(items, download_id=download_id, lifetime_seconds=lifetime_seconds, moment=moment)

    def _signer(self, known: _Known, until: datetime) -> UrlSigner:
        """That of a session which lasts until then: one that is kept, or a new one."""
        kept = self._kept.get(known)
        if kept is not None and kept[0].expires_at >= until:
            return kept[1]
        organization, prefix, networks = known
        begun = self._sessions.begin_for_urls(prefix, name_of(organization), SESSION_SECONDS, networks)
        signer = self._make(begun.credentials)
        with self._beginning:
            self._kept.pop(known, None)
            self._kept[known] = begun, signer
            for old in list(self._kept)[:-KEPT_AT_MOST]:
                del self._kept[old]
        return signer


def prefix_of(items: list[StoredObject]) -> str:
    """Below which all files of one checkpoint lie, and no other's. Raises ValueError."""
    found = {"".join(f"{part}/" for part in item.key.split("/")[:_PARTS_OF_PREFIX]) for item in items}
    if len(found) != 1 or any(len(item.key.split("/")) <= _PARTS_OF_PREFIX for item in items):
        raise ValueError("a session's URLs are for the files of one checkpoint")
    return found.pop()


def name_of(organization: str) -> str:
    """A session's name; a slug is one, unless it has a single letter."""
    return organization if len(organization) > 1 else f"{organization}."
