"""The signer of a role: it signs with what the role was lent last, and nothing lives longer than that."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from server.storage.keys import S3Credentials
from server.storage.role_credentials import Lent, RoleCredentials
from server.storage.signing import NOBODY, Recipient, StoredObject, UrlSigner


class RoleSigner:
    """Signs with the credentials of a role, which are others every few hours. Safe to share between threads."""

    def __init__(
        self, role: RoleCredentials, make: Callable[[S3Credentials], UrlSigner], clock: Callable[[], datetime]
    ) -> None:
        """make: the signer with credentials."""
        self._role, self._make, self._clock = role, make, clock
        self._current = self._made(role.lent())
        self.origin = self._current[1].origin

    def sign(
        self,
        objects: Iterable[StoredObject],
        *,
        download_id: str,
        lifetime_seconds: int,
        moment: datetime | None = None,
        recipient: Recipient = NOBODY,
    ) -> list[str]:
        """Return one URL for each object, as every UrlSigner does. OutsideFault: they would outlive the role."""
        begins = self._clock() if moment is None else moment
        self._role.require_outlives(begins + timedelta(seconds=lifetime_seconds))
        return self._followed().sign(
            objects, download_id=download_id, lifetime_seconds=lifetime_seconds, moment=moment, recipient=recipient
        )

    def _followed(self) -> UrlSigner:
        # No lock: whoever comes at the same moment makes the same signer.
        lent = self._role.lent()
        if lent != self._current[0]:
            self._current = self._made(lent)
        return self._current[1]

    def _made(self, lent: Lent) -> tuple[Lent, UrlSigner]:
        return lent, self._make(lent.credentials)
