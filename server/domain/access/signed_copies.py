"""Signed copies: the exact bytes of what was signed in the portal: the agreement's text, and below it who signed it."""

from dataclasses import dataclass
from datetime import datetime

from server import dates

LINE = "-" * 72


@dataclass(frozen=True, slots=True)
class Signing:
    """Who signs what, when, and in which words. organization: its name and id; signed_in: the person's e-mail."""

    agreement: str
    number: int
    text: str
    text_sha256: str
    organization: tuple[str, str]
    name: str
    title: str
    signed_in: str
    at: datetime
    statement: str


def statement_for(organization: str) -> str:
    """What whoever signs for the organization of this name types, word for word."""
    return f"I sign for {organization}"


def write(signing: Signing) -> str:
    """Return the copy. No value but the text has a line break: nobody writes lines below it that look like ours."""
    name, slug = signing.organization
    lines = (
        ("Signed", f"{signing.agreement}, version {signing.number}"),
        ("Text", f"the first {len(signing.text.encode())} bytes of this file, SHA-256 {signing.text_sha256}"),
        ("Organization", f"{name} ({slug})"),
        ("Name", signing.name),
        ("Title", signing.title),
        ("Signed in as", signing.signed_in),
        ("At", dates.rfc3339(signing.at)),
        ("Statement", signing.statement),
    )
    block = "".join(f"{what + ':':<15}{value}\n" for what, value in lines)
    return f"{signing.text}\n\n{LINE}\n{block}"
