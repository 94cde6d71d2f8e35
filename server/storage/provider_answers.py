"""What an identity provider is asked and answers, apart from the libraries that ask it: they are slow to load."""

from dataclasses import dataclass
from datetime import datetime


class ProviderUnavailable(Exception):
    """The provider does not answer as one does. The text says how, and quotes nothing that it sent."""


class ProviderRefused(Exception):
    """What came back does not prove to us who somebody is. The text says why, and quotes no token."""


@dataclass(frozen=True, slots=True)
class Ask:
    """The secrets that one sign-in is bound to. The browser sees the first two, the provider a hash of the third."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Whom a provider says that somebody is, and how it knows. signed_in_at: None where it does not say."""

    issuer: str
    subject: str
    name: str
    signed_in_at: datetime | None
    amr: frozenset[str]
    acr: str | None
