"""Signed copies: the text to the byte, and below it who signed it."""

import hashlib
from datetime import datetime, timedelta, timezone

from server.domain.access import signed_copies
from server.domain.access.signed_copies import LINE, Signing

TEXT = "# Model sharing\n\nÜber alles Weitere …\n"


def test_a_copy_holds_the_text_and_who_signed_it() -> None:
    """Whoever cuts the stated number of bytes off has the text with the stated hash; the moment is UTC."""
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    at = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    statement = signed_copies.statement_for("Aurora Institute")
    copy = signed_copies.write(
        Signing(
            "model-sharing", 3, TEXT, digest, ("Aurora Institute", "aurora-institute"), "Iris Okafor", "Director",
            "owner@aurora-institute.example", at, statement,
        )
    )  # fmt: skip
    size = len(TEXT.encode())
    assert size != len(TEXT)
    assert hashlib.sha256(copy.encode()[:size]).hexdigest() == digest
    assert copy[len(TEXT) :].splitlines() == [
        "",
        "",
        LINE,
        "Signed:        model-sharing, version 3",
        f"Text:          the first {size} bytes of this file, SHA-256 {digest}",
        "Organization:  Aurora Institute (aurora-institute)",
        "Name:          Iris Okafor",
        "Title:         Director",
        "Signed in as:  owner@aurora-institute.example",
        "At:            2026-02-28T23:30:00Z",
        "Statement:     I sign for Aurora Institute",
    ]
