"""Email addresses: the one form in which a person is known by theirs, however it is written at which door."""

import re

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

from server.domain.errors import InvalidRequest

# A command, a formula or a list begins with other signs; and a domain of one word, or of numbers, is no mail server's.
_LOCAL = re.compile(r"[a-z0-9_]")
_DOMAIN = re.compile(r".+\.[a-z][a-z0-9-]*")


def stored(text: str) -> str:
    """Return an address as it is kept: in small letters, its domain as mail servers write it.

    A domain of another script is kept as `xn--…`, so that no look-alike passes for the one that it looks like. Raises
    InvalidRequest, which says why it is no address.
    """
    address, reason = "", None
    try:
        address = _read(text).ascii_email or ""
    except EmailNotValidError as error:
        reason = str(error)
    if reason is None and not _LOCAL.match(address):
        reason = "It must begin with a letter or a digit."
    if reason is None and not _DOMAIN.fullmatch(address.partition("@")[2]):
        reason = "The part after the @-sign is not a mail server's name."
    if reason is not None:
        raise InvalidRequest(
            f"{text.strip()[:254]!r} is not a valid email address. {reason}", next_step="Enter one plain address."
        )
    return address


def folded(text: str) -> str:
    """Return the form in which a person would be kept who has this address; of what is none, its small letters."""
    try:
        return stored(text)
    except InvalidRequest:
        return text.strip().lower()


def spellings(text: str) -> set[str]:
    """Every form in which a person with this address may be kept: an earlier version kept what was typed."""
    address = folded(text)
    return {address, text.strip().lower(), _in_own_script(address)}


def shown(address: str) -> str:
    """An address as it is kept and, if its domain is written in another script, what that looks like."""
    own = _in_own_script(address)
    return address if own == address else f"{address} ({own})"


def _read(text: str) -> ValidatedEmail:
    return validate_email(
        text.strip().lower(), strict=True, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False
    )


def _in_own_script(address: str) -> str:
    try:
        return _read(address).normalized
    except EmailNotValidError:
        return address
