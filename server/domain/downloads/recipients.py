"""Recipients: whom URLs are signed for, where a signer can bind them to somebody."""

from server.domain.callers import Caller
from server.domain.errors import NetworkNotAllowed
from server.domain.identity.tokens import Token
from server.domain.resources import Resources
from server.storage import signing_cloudfront
from server.storage.signing import Recipient


def of(use: Resources, caller: Caller) -> Recipient:
    """Whom a caller's URLs are for. Raises NetworkNotAllowed before anything is logged."""
    made = use.settings
    binds = made.delivery == "cloudfront" and made.cloudfront_binds_address
    if binds and not signing_cloudfront.can_bind(caller.address):
        raise NetworkNotAllowed(
            "Files are sent only to the IPv4 address that asked for them, and this request did not come from one.",
            next_step="Ask again over IPv4, for example with `curl -4`. If your network has none, write to {contact}.",
        )
    networks = _networks(use, caller) if made.url_sessions else ()
    return Recipient(caller.address, caller.organization, networks)


def _networks(use: Resources, caller: Caller) -> tuple[str, ...]:
    """From where alone the caller's token may be used. A token's networks never change."""
    if caller.token_id is None:
        return ()
    with use.database.reading() as session:
        token = session.get(Token, caller.token_id)
        return () if token is None else tuple(token.networks.split())  # one that is gone is refused where it is decided
