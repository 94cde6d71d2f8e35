"""A sign-in at an identity provider, on its way: begun in one browser for one thing, and brought back there once."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from server.domain.accounts import ceremonies
from server.domain.accounts.ceremonies import Ceremony, Kind
from server.domain.errors import IdentityNotAccepted, IdentityProviderUnavailable, NotFound, NotPossible
from server.domain.resources import Resources
from server.identity_providers import IdentityProvider
from server.storage import keys
from server.storage.provider_answers import Ask, Proof, ProviderRefused, ProviderUnavailable

if TYPE_CHECKING:
    from server.storage.identity_providers import ProviderClient

AGAIN_SECONDS = 10  # when to try again a provider that does not respond


class Purpose(StrEnum):
    """What somebody signs in at a provider for; one begun for one thing is good for nothing else."""

    SIGN_IN = "sign_in"
    CONFIRM = "confirm"
    LINK = "link"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Back:
    """What somebody brought back. wanted: where they want to go; invitation: the secret of the one that they accept."""

    provider: IdentityProvider
    purpose: Purpose
    proof: Proof
    began_at: datetime
    person_id: int | None
    wanted: str
    invitation: str

    @property
    def has_second_factor(self) -> bool:
        """Whether the provider confirms one, in the words that the settings trust."""
        methods, levels = self.provider.second_factor_amr, self.provider.second_factor_acr
        return bool(self.proof.amr & {*methods}) or self.proof.acr in levels


def client(use: Resources, provider_id: str) -> "ProviderClient":
    """The provider of this name. Raises NotFound."""
    found = use.identity_providers.get(provider_id)
    if found is None:
        raise NotFound("There is no such identity provider.", next_step="Go back to the sign-in page.")
    return found


def begin(
    use: Resources,
    provider_id: str,
    purpose: Purpose,
    person_id: int | None = None,
    wanted: str = "/",
    invitation: str = "",
) -> tuple[str, str]:
    """Begin one; returns the ceremony's secret and the provider's address, both for the browser.

    Raises NotFound, IdentityProviderUnavailable.
    """
    at_provider = client(use, provider_id)
    ask = Ask(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(64))
    try:
        address = at_provider.address(ask, anew=purpose is not Purpose.SIGN_IN)
    except ProviderUnavailable as error:
        raise unavailable(at_provider.provider, error) from None
    kept = {
        "provider": provider_id, "purpose": purpose, "wanted": wanted, "invitation": invitation,
        "ask": [ask.state, ask.nonce, ask.verifier],
    }  # fmt: skip
    sealed = keys.seal(use.secret, "provider", orjson.dumps(kept))
    return ceremonies.begin(use, Kind.PROVIDER, person_id, sealed), address


def bring_back(use: Resources, provider_id: str, ceremony: str | None, answer: Mapping[str, str]) -> Back:
    """Take what a provider sent a browser back with: in this browser, once, and of the provider that was asked.

    Raises NotFound, IdentityNotAccepted, IdentityProviderUnavailable.
    """
    at_provider = client(use, provider_id)
    begun = attempt(use, ceremony, Kind.PROVIDER)
    kept = orjson.loads(keys.unseal(use.secret, "provider", begun.challenge or b""))
    ask = Ask(*kept["ask"])
    if kept["provider"] != provider_id or not hmac.compare_digest(ask.state.encode(), answer.get("state", "").encode()):
        raise IdentityNotAccepted("This is not the answer to the sign-in that was started in this browser.")
    try:
        with use.database.transaction() as session:
            ceremonies.finish(session, begun, use.clock())  # before it is looked at: whatever becomes of it, not twice
        proof = _redeemed(at_provider, ask, answer)
    except ProviderUnavailable as error:
        raise unavailable(at_provider.provider, error) from None
    except NotPossible as error:
        raise IdentityNotAccepted(error.detail) from None
    except ProviderRefused as error:
        raise IdentityNotAccepted(f"{at_provider.provider.name} did not confirm who you are: {error}.") from None
    purpose = Purpose(kept["purpose"])
    began = begun.began_at, begun.person_id
    return Back(at_provider.provider, purpose, proof, *began, kept["wanted"], kept["invitation"])


def attempt(use: Resources, ceremony: str | None, kind: Kind) -> Ceremony:
    """Count a try. Raises IdentityNotAccepted when the ceremony is over, or is another browser's."""
    try:
        return ceremonies.attempt(use, ceremony, kind)
    except NotPossible as error:
        raise IdentityNotAccepted(error.detail) from None


def unavailable(provider: IdentityProvider, error: ProviderUnavailable) -> IdentityProviderUnavailable:
    return IdentityProviderUnavailable(
        f"{provider.name} cannot sign you in now: {error}.", retry_after_seconds=AGAIN_SECONDS
    )


def _redeemed(at_provider: "ProviderClient", ask: Ask, answer: Mapping[str, str]) -> Proof:
    issuer = answer.get("iss")  # RFC 9207: else one provider could pass off another's answer as its own
    if issuer != at_provider.provider.issuer and (issuer is not None or at_provider.published().names_itself):
        raise ProviderRefused("its answer is not its own")
    if answer.get("error") == "access_denied":
        raise ProviderRefused("you cancelled, or it did not let you in")
    code = answer.get("code", "")
    if "error" in answer or not code:
        raise ProviderRefused("it reported an error")
    return at_provider.redeem(ask, code)
