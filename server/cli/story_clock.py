"""The story's clock: months pass between two chapters, for everything but the store, which lives in the present."""

import json
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from server.domain.resources import Resources, utc_now
from server.settings import Settings
from server.storage.outside import Outside
from server.storage.signing import NOBODY, Recipient, StoredObject, UrlSigner


class StoryClock:
    """Runs as fast as any clock; `go_to` moves it on to a moment of the story."""

    def __init__(self, begins_at: datetime) -> None:
        self.ahead = begins_at - utc_now()  # of the real clock; negative, for a story of the past

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def go_to(self, moment: datetime) -> None:
        """Raises ValueError for a moment that has passed: the log's times only ever go on."""
        if moment < self():
            raise ValueError(f"the story is already past {moment}")
        self.ahead = moment - utc_now()


class StoryResources(Resources):
    """An instance that lives by the story's clock; its URLs are dated by the store's, which would refuse others."""

    def __init__(self, settings: Settings, clock: StoryClock) -> None:
        super().__init__(settings, clock)

    @cached_property
    def store_signer(self) -> UrlSigner:
        return _PresentSigner(Resources(self.settings).store_signer)

    @cached_property
    def outside(self) -> Outside:
        """Nobody's clock agrees with the story's, so nobody's is looked at."""
        return Outside({}, self.clock, frozenset())


class _PresentSigner:
    """Signs from now on, whatever moment the story has reached."""

    def __init__(self, signer: UrlSigner) -> None:
        self._signer = signer
        self.origin = signer.origin

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        del moment, recipient  # the story's
        return self._signer.sign(objects, download_id=download_id, lifetime_seconds=lifetime_seconds)


class RedatedLog:
    """The store's access log as the story would have it: each line moved from the present into the story's time.

    path: the copy, which grows by what was written since the last call of `grow`.
    """

    def __init__(self, original: Path, path: Path) -> None:
        self.path = path
        self._original = original
        self._position = 0

    def close(self) -> None:
        """Empty the original, which begins again in the present: its lines have been read, and dated otherwise."""
        os.truncate(self._original, 0)

    def grow(self, ahead: timedelta) -> None:
        """Take over whole lines that were written while the story's clock was ahead by this."""
        if not self._original.exists():
            return
        with self._original.open("rb") as stream:
            stream.seek(self._position)
            whole, newline, _ = stream.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        with self.path.open("ab") as copy:
            for line in whole.splitlines():
                told = json.loads(line)
                told["ended_at"] += ahead.total_seconds()
                copy.write(json.dumps(told).encode() + b"\n")
