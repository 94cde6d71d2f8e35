"""The signer of a key file: when the file holds another key, the next URL is signed with that one."""

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from server import traces
from server.storage.keys import KeyFileError
from server.storage.signing import NOBODY, Recipient, StoredObject, UrlSigner

Key = TypeVar("Key")

logger = structlog.get_logger(__name__)


class FollowingSigner(Generic[Key]):
    """Signs with the key that its file holds now: a key that was replaced at the store needs no restart.

    Looking at the file costs 2 µs a call. A file that cannot be read changes nothing: the URLs of the key before it
    work, or the store refuses them.
    """

    def __init__(self, path: Path, read: Callable[[Path], Key], make: Callable[[Key], UrlSigner]) -> None:
        """read: what the file holds. make: the signer with a key. Raises KeyFileError for a file that holds none."""
        self._path, self._read, self._make = path, read, make
        self._stamp = self._stamp_now()  # before it is read: what is written meanwhile is read again
        self._current = make(read(path))
        self.origin = self._current.origin

    @traces.spanned("sign")
    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, as every UrlSigner does."""
        return self._followed().sign(
            objects, download_id=download_id, lifetime_seconds=lifetime_seconds, moment=moment, recipient=recipient
        )

    def _followed(self) -> UrlSigner:
        # No lock: whoever comes between the two lines signs with the key before, or reads the same file again.
        stamp = self._stamp_now()
        if stamp != self._stamp:
            try:
                self._current = self._make(self._read(self._path))
            except KeyFileError as error:
                logger.warning("the signer's key file was changed and cannot be used", reason=str(error))
            self._stamp = stamp
        return self._current

    def _stamp_now(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)  # noqa: PTH116  # a third of Path's
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size
