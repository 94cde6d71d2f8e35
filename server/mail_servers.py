"""Mail servers: how their address is written in the settings, and by which ways they are reached."""

import re

from server.addresses import is_loopback, split

SMTP_PORTS = {"smtps": 465, "smtp+starttls": 587, "smtp": 25}  # the ways to a mail server, and where it listens


def mail_server(value: str) -> str:
    """The value. Raises ValueError, which says what to write."""
    parts = split(value)
    bare = parts and re.fullmatch(r"([A-Za-z0-9.!#$%&*+=?^_~-]{1,254}@)?[A-Za-z0-9.:\[\]-]+", parts.netloc)
    if (
        parts is None
        or not bare
        or not parts.hostname
        or parts.port == 0
        or value != f"{parts.scheme}://{parts.netloc}"
    ):
        raise ValueError("write smtps://USER@HOST or smtp+starttls://USER@HOST:PORT, and put the password in a file")
    if parts.scheme not in SMTP_PORTS or (parts.scheme == "smtp" and not is_loopback(parts.hostname)):
        raise ValueError(
            "use smtps:// or smtp+starttls://; smtp:// is allowed on loopback only, because emails contain sign-in "
            "links"
        )
    return value
