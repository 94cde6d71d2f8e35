"""Receipts: five lines that the server cannot take back, under a key of their own."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.log import heads, receipts, tree
from server.log.entries import commitment_of
from server.log.heads import Head
from server.log.notes import Malformed, NotSigned, Signer, VerifierKey
from server.log.receipts import Receipt

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS: dict[str, Any] = json.loads((FOLDER / "receipts.json").read_text(encoding="utf-8"))
REASONS = {"malformed": Malformed, "unsigned": NotSigned}
ORIGIN = "weights.example.org/downloads/2026"
NAME = "weights.example.org/receipts/2026"
SEED = bytes(range(32, 64))
RECEIPT = Receipt(ORIGIN, bytes(32), 1767225600001, 60)


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["leaf_hex"][:8])
def test_a_known_receipt_is_read_written_and_opened(case: dict[str, Any]) -> None:
    """The receipt says what was signed, and its leaf is that of the salt and the record's exact bytes."""
    receipt = receipts.verify(case["receipt"].encode(), VerifierKey.parse(case["vkey"]))
    assert receipt == Receipt(case["log"], bytes.fromhex(case["leaf_hex"]), case["time_ms"], case["mmd_seconds"])
    assert receipts.sign(receipt, Signer.from_seed(NAME, SEED)) == case["receipt"].encode()
    opened = commitment_of(bytes.fromhex(case["salt_hex"]), case["record"].encode())
    assert tree.leaf_hash(opened) == receipt.leaf


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["about"])
def test_a_receipt_that_is_wrong_in_one_place_is_refused(case: dict[str, Any]) -> None:
    """Another line, order or spelling is malformed; other words or another key are unsigned."""
    with pytest.raises(REASONS[case["why"]]):
        receipts.verify(case["receipt"].encode(), VerifierKey.parse(case["vkey"]))


@pytest.mark.parametrize(
    ("log", "leaf", "time_ms", "mmd_seconds"),
    [
        ("", bytes(32), 1, 60),
        ("https://weights.example.org", bytes(32), 1, 60),
        (ORIGIN, bytes(33), 1, 60),
        (ORIGIN, bytes(32), -1, 60),
        (ORIGIN, bytes(32), 1, 2**63),
    ],
)
def test_what_could_not_be_promised_makes_no_receipt(log: str, leaf: bytes, time_ms: int, mmd_seconds: int) -> None:
    """The wrong value is refused when it is made, before it could be signed."""
    with pytest.raises(Malformed):
        Receipt(log, leaf, time_ms, mmd_seconds)


def test_the_key_of_the_log_signs_no_receipt() -> None:
    """One key for both could be made to sign one for the other, so the log's name is refused."""
    with pytest.raises(NotSigned, match="key of its own"):
        receipts.sign(RECEIPT, Signer.from_seed(ORIGIN, SEED))


def test_neither_note_passes_for_the_other() -> None:
    """A receipt is no head and a head no receipt, even under one key of one name."""
    receipt_key, log_key = Signer.from_seed(NAME, SEED), Signer.from_seed(ORIGIN, SEED)
    with pytest.raises(Malformed):
        heads.verify(receipts.sign(RECEIPT, receipt_key), receipt_key.key)
    with pytest.raises(Malformed):
        receipts.verify(heads.sign(Head(ORIGIN, 1, bytes(32)), log_key), log_key.key)
