"""Limits: how often somebody may try before anything is looked at: by where they are, and by whom they say they are.

Nobody can use up somebody else's tries. An account is counted in each network for itself, and more slowly everywhere
together; where it has signed in before, the browser is counted instead; and passkeys are counted apart from passwords.
"""

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
from server.domain.identity import email_addresses
from server.domain.resources import Resources
from server.web.identity import stranger
from server.web.portal.kit import cookies


class Limit(StrEnum):
    """What is counted. An address is a client's own, or its network's where one client has many."""

    SIGN_IN_OF_ADDRESS = "sign_in_of_address"
    SIGN_IN_OF_ACCOUNT_HERE = "sign_in_of_account_here"
    SIGN_IN_OF_ACCOUNT = "sign_in_of_account"
    SIGN_IN_OF_DEVICE = "sign_in_of_device"
    PASSKEY_OF_ADDRESS = "passkey_of_address"  # what is counted
    SECOND_FACTOR_OF_PERSON = "second_factor_of_person"
    PROOF_OF_PERSON = "proof_of_person"
    PASSKEY_OF_PERSON = "passkey_of_person"
    PASSWORD_OF_PERSON = "password_of_person"  # noqa: S105  # what is counted
    DEVICE_CODE_OF_PERSON = "device_code_of_person"
    PROVIDER_OF_ADDRESS = "provider_of_address"
    LINK_OF_ADDRESS = "link_of_address"
    FORM_OF_ADDRESS = "form_of_address"
    MAIL_OF_ADDRESS = "mail_of_address"
    MAIL_OF_ACCOUNT = "mail_of_account"
    READING_OF_ADDRESS = "reading_of_address"


AGAIN_SECONDS = 5  # when to come back while nobody can count

RATES = {
    Limit.SIGN_IN_OF_ADDRESS: parse("200 per 15 minutes"),
    Limit.SIGN_IN_OF_ACCOUNT_HERE: parse("10 per 15 minutes"),
    Limit.SIGN_IN_OF_ACCOUNT: parse("100 per hour"),
    Limit.SIGN_IN_OF_DEVICE: parse("10 per 15 minutes"),
    Limit.PASSKEY_OF_ADDRESS: parse("200 per 15 minutes"),
    Limit.SECOND_FACTOR_OF_PERSON: parse("10 per 15 minutes"),
    Limit.PROOF_OF_PERSON: parse("10 per 15 minutes"),
    Limit.PASSKEY_OF_PERSON: parse("30 per 15 minutes"),
    Limit.PASSWORD_OF_PERSON: parse("10 per 15 minutes"),
    Limit.DEVICE_CODE_OF_PERSON: parse("30 per 15 minutes"),
    Limit.PROVIDER_OF_ADDRESS: parse("200 per 15 minutes"),
    Limit.LINK_OF_ADDRESS: parse("60 per 15 minutes"),
    Limit.FORM_OF_ADDRESS: parse("20 per 15 minutes"),
    Limit.MAIL_OF_ADDRESS: parse("20 per hour"),
    Limit.MAIL_OF_ACCOUNT: parse("5 per hour"),
    Limit.READING_OF_ADDRESS: parse("300 per 15 minutes"),
}


def register(app: Flask, use: Resources) -> None:
    """Count in Redis where there is one, so that all web processes count together."""
    counters = storage_from_string(use.settings.redis_url or "memory://", wrap_exceptions=True)
    app.extensions["weightgate_limits"] = FixedWindowRateLimiter(counters)


def count_here(limit: Limit) -> None:
    """Count one try from where this request comes. Raises TooManyAttempts."""
    _count(limit, _here())


def count_sign_in(email: str) -> None:
    """Count one try with a password. Raises TooManyAttempts.

    A try that a narrower limit refuses is not counted by a wider one: one network cannot fill an account's own limit.
    """
    device = cookies.device_of(email)
    if device is not None:
        _count(Limit.SIGN_IN_OF_DEVICE, _key(device))
        return
    count_here(Limit.SIGN_IN_OF_ADDRESS)
    _count(Limit.SIGN_IN_OF_ACCOUNT_HERE, f"{_key(email)} {_here()}")
    _count(Limit.SIGN_IN_OF_ACCOUNT, _key(email))


def forgive_sign_in(email: str) -> None:
    """Forget the tries from here: the last one was right. What others try elsewhere is counted on."""
    _forgive(Limit.SIGN_IN_OF_ACCOUNT_HERE, f"{_key(email)} {_here()}")
    if (device := cookies.device_of(email)) is not None:
        _forgive(Limit.SIGN_IN_OF_DEVICE, _key(device))


def count(limit: Limit, whom: str | int | None) -> None:
    """Count one try for an account. Raises TooManyAttempts."""
    _count(limit, _key(whom))


def forgive(limit: Limit, whom: str | int | None) -> None:
    """Forget the tries for an account: the last one was right."""
    _forgive(limit, _key(whom))


def _forgive(limit: Limit, key: str) -> None:
    """Where nobody can, they count on: what was right stays right."""
    with suppress(StorageError):
        _limiter().clear(RATES[limit], limit, key)


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
    return hashlib.sha256(email_addresses.folded(str(whom)).encode()).hexdigest()
