"""Accepted identities: an invited person has come back from an identity provider, and still has to give a name."""

from dataclasses import dataclass

import orjson

from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import Ceremony, Kind
from server.domain.accounts.provider_ceremonies import Back, client
from server.domain.errors import IdentityNotAccepted, NotPossible
from server.domain.resources import Resources
from server.identity_providers import IdentityProvider
from server.storage import keys


@dataclass(frozen=True, slots=True)
class Accepted:
    """invitation: its link's secret; name: what the provider calls the person."""

    provider: IdentityProvider
    subject: str
    name: str
    invitation: str
    has_second_factor: bool


def keep(use: Resources, back: Back) -> str:
    """Keep what was brought back until the person has filled in the rest; returns the ceremony's secret."""
    kept = [back.provider.id, back.proof.subject, back.proof.name[:200], back.invitation, back.has_second_factor]
    sealed = keys.seal(use.secret, "provider_accept", orjson.dumps(kept))
    return ceremonies.begin(use, Kind.PROVIDER_ACCEPT, None, sealed)


def kept(use: Resources, ceremony: str | None) -> Accepted:
    """What is kept. Raises IdentityNotAccepted when that is over, NotFound for a provider that the settings do not name
    any more.
    """
    with use.database.reading() as session:
        try:
            return read(use, ceremonies.running(session, use, ceremony, Kind.PROVIDER_ACCEPT))
        except NotPossible as error:
            raise IdentityNotAccepted(error.detail, next_step="Open the link in the email again.") from None


def read(use: Resources, begun: Ceremony) -> Accepted:
    sealed = keys.unseal(use.secret, "provider_accept", begun.challenge or b"")
    provider_id, *rest = orjson.loads(sealed)
    return Accepted(client(use, provider_id).provider, *rest)
