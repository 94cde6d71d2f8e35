"""Credentials in the registry protocol: a password at the token endpoint, from then on a bearer token.

The token that we give out is the one that was sent: it says no more and lives no longer, and revoking it needs nothing
beside. Who sends none is given a word instead, because the tools want to send something.
"""

import base64
import binascii

ANONYMOUS = "anonymous"


def as_bearer(header: str) -> str | None:
    """An Authorization header in the form that the API takes; None for who is anonymous. Of Basic only the password
    counts (RFC 7617, section 2); what is in neither form stays as it is, and is refused as it would be there."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() == "bearer" and text.strip() == ANONYMOUS:
        return None
    if scheme.lower() != "basic":
        return header
    try:
        pair = base64.b64decode(text.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return header
    return f"Bearer {pair.partition(':')[2]}"
