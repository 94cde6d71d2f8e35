"""Proof files: C2SP's form to the byte, and three ways to fail: out of form, not signed, not proven."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.log import notes, proofs
from server.log.notes import Malformed, NotSigned, VerifierKey
from server.log.proofs import Proof
from server.log.tree import NotProven

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "proofs.json").read_text(encoding="utf-8")
)
REASONS = {"malformed": Malformed, "unsigned": NotSigned, "unproven": NotProven}
HEAD = notes.sign("text\n", notes.Signer.from_seed("k", bytes(32)))


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["about"])
def test_a_known_proof_is_read_written_and_proven(case: dict[str, Any]) -> None:
    """Go's hashes and signature in C2SP's form give the head that they prove, and are written back to the byte."""
    data = case["proof"].encode()
    proof = Proof.parse(data)
    assert proof.index == case["index"]
    assert proof.extra == (None if case["extra_hex"] is None else bytes.fromhex(case["extra_hex"]))
    assert proof.encode() == data
    head = proofs.verify(data, bytes.fromhex(case["leaf_hex"]), VerifierKey.parse(case["vkey"]))
    assert (head.size, head.root.hex()) == (case["size"], case["root_hex"])


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["about"])
def test_a_proof_that_is_wrong_in_one_place_is_refused(case: dict[str, Any]) -> None:
    """Form, head and hashes are each checked: what is wrong in one of them proves nothing."""
    with pytest.raises(REASONS[case["why"]]):
        proofs.verify(case["proof"].encode(), bytes.fromhex(case["leaf_hex"]), VerifierKey.parse(case["vkey"]))


@pytest.mark.parametrize(
    ("index", "hashes", "head", "extra"),
    [
        (-1, (), HEAD, None),
        (2**63 - 1, (), HEAD, None),
        (0, (bytes(31),), HEAD, None),
        (0, (bytes(32),) * 64, HEAD, None),
        (0, (), HEAD, b""),
        (0, (), b"text\n", None),
    ],
)
def test_what_could_not_be_read_back_makes_no_proof(
    index: int, hashes: tuple[bytes, ...], head: bytes, extra: bytes | None
) -> None:
    """The wrong value is refused when the proof is made, not by the partner who gets it."""
    with pytest.raises(Malformed):
        Proof(index, hashes, head, extra)
