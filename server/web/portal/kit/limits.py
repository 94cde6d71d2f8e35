"""Limits: how often somebody may try before anything is looked at: by where they are, and by whom they say they are."""

import hashlib
import ipaddress
import time
from contextlib import suppress
from enum import StrEnum

from flask import Flask, current_app
from limits import parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from server.domain.errors import LogUnavailable, TooManyAttempts
from server.domain.resources import Resources
from server.web.identity import stranger


class Limit(StrEnum):
    """What is counted. An address is a client's own, or its network's where one client has many."""

    SIGN_IN_OF_ADDRESS = "sign_in_of_address"
    SIGN_IN_OF_ACCOUNT = "sign_in_of_account"
    SECOND_FACTOR_OF_PERSON = "second_factor_of_person"
    PROOF_OF_PERSON = "proof_of_person"
    PASSKEY_OF_PERSON = "passkey_of_person"
    PASSWORD_OF_PERSON = "password_of_person"  # noqa: S105  # what is counted
    LINK_OF_ADDRESS = "link_of_address"
    FORM_OF_ADDRESS = "form_of_address"
    MAIL_OF_ADDRESS = "mail_of_address"
    MAIL_OF_ACCOUNT = "mail_of_account"


AGAIN_SECONDS = 5  # when to come back while nobody can count

RATES = {
    Limit.SIGN_IN_OF_ADDRESS: parse("200 per 15 minutes"),
    Limit.SIGN_IN_OF_ACCOUNT: parse("10 per 15 minutes"),
    Limit.SECOND_FACTOR_OF_PERSON: parse("10 per 15 minutes"),
    Limit.PROOF_OF_PERSON: parse("10 per 15 minutes"),
    Limit.PASSKEY_OF_PERSON: parse("30 per 15 minutes"),
    Limit.PASSWORD_OF_PERSON: parse("10 per 15 minutes"),
    Limit.LINK_OF_ADDRESS: parse("60 per 15 minutes"),
    Limit.FORM_OF_ADDRESS: parse("20 per 15 minutes"),
    Limit.MAIL_OF_ADDRESS: parse("20 per hour"),
    Limit.MAIL_OF_ACCOUNT: parse("5 per hour"),
}


def register(app: Flask, use: Resources) -> None:
    """Count in Redis where there is one, so that all web processes count together."""
    counters = storage_from_string(use.settings.redis_url or "memory://", wrap_exceptions=True)
    app.extensions["weightgate_limits"] = FixedWindowRateLimiter(counters)


def count_here(limit: Limit) -> None:
    """Count one try from where this request comes. Raises TooManyAttempts."""
    _count(limit, _here())


def count(limit: Limit, whom: str | int | None) -> None:
    """Count one try for an account. Raises TooManyAttempts."""
    _count(limit, _key(whom))


def forgive(limit: Limit, whom: str | int | None) -> None:
    """Forget the tries for an account: the last one was right. Where nobody can, they count on: it stays right."""
    with suppress(StorageError):
        _limiter().clear(RATES[limit], limit, _key(whom))


def _count(limit: Limit, key: str) -> None:
    item = RATES[limit]
    try:
        if _limiter().hit(item, limit, key):
            return
        reset_at = _limiter().get_window_stats(item, limit, key).reset_time
    except StorageError:  # in doubt nobody tries
        raise LogUnavailable(
            "The server cannot count attempts right now, so it accepts none.", retry_after_seconds=AGAIN_SECONDS
        ) from None
    raise TooManyAttempts(retry_after_seconds=max(1, int(reset_at - time.time()) + 1))


def _limiter() -> FixedWindowRateLimiter:
    limiter: FixedWindowRateLimiter = current_app.extensions["weightgate_limits"]
    return limiter


def _here() -> str:
    """The client's address as our own proxies saw it; of IPv6 the network, within which one client chooses freely."""
    address = stranger().address
    if address is None:
        return "unknown"
    here = ipaddress.ip_address(address)
    return str(here) if here.version == 4 else str(ipaddress.ip_network((here, 64), strict=False))


def _key(whom: str | int | None) -> str:
    """Of one length, whatever somebody typed as an address."""
    return hashlib.sha256(str(whom).strip().lower().encode()).hexdigest()
