"""Heads: three lines, one spelling, one key."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.log import heads, notes, tree
from server.log.heads import Head
from server.log.notes import Malformed, NotSigned, Signer

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "proofs.json").read_text(encoding="utf-8")
)
ORIGIN = "weights.example.org/downloads/2026"
SIGNER = Signer.from_seed(ORIGIN, bytes(range(32)))
HEAD = Head(ORIGIN, 3, bytes(range(32)))


@pytest.mark.parametrize("case", VECTORS["heads"]["accepted"], ids=lambda case: str(case["size"]))
def test_a_head_is_three_lines(case: dict[str, Any]) -> None:
    """Origin, size and root are written as the specification has them, and read back as themselves."""
    head = Head(case["origin"], case["size"], bytes.fromhex(case["root_hex"]))
    assert head.text == case["text"]
    assert Head.parse(case["text"]) == head


@pytest.mark.parametrize("case", VECTORS["heads"]["refused"], ids=lambda case: case["about"])
def test_no_other_text_is_a_head(case: dict[str, Any]) -> None:
    """Extension lines, other spellings of the same numbers, a root of another length: refused."""
    with pytest.raises(Malformed):
        Head.parse(case["text"])


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [
        ("", 1, bytes(32)),
        ("https://weights.example.org", 1, bytes(32)),
        ("a\nb", 1, bytes(32)),
        (ORIGIN, -1, bytes(32)),
        (ORIGIN, 2**63, bytes(32)),
        (ORIGIN, 1, bytes(31)),
        (ORIGIN, 0, bytes(32)),
    ],
)
def test_what_no_log_can_say_makes_no_head(origin: str, size: int, root: bytes) -> None:
    """The wrong value is refused when it is made, before it could be signed."""
    with pytest.raises(Malformed):
        Head(origin, size, root)


def test_a_signed_head_comes_back() -> None:
    """The log's own key signs it and verifies it, an empty log's head too."""
    for head in (HEAD, Head(ORIGIN, 0, tree.EMPTY_ROOT)):
        assert heads.verify(heads.sign(head, SIGNER), SIGNER.key) == head


def test_a_key_speaks_for_its_own_log_alone() -> None:
    """A trusted key of another name neither signs this log's head nor is believed when it has."""
    other = Signer.from_seed("weights.example.org/downloads/2027", bytes(range(32)))
    with pytest.raises(NotSigned, match="cannot be signed by"):
        heads.sign(HEAD, other)
    with pytest.raises(NotSigned, match="cannot be signed by"):
        heads.verify(notes.sign(HEAD.text, other), other.key)


def test_a_head_with_an_extension_line_is_not_ours() -> None:
    """Even our own key's signature does not make a fourth line part of a head."""
    with pytest.raises(Malformed, match="exactly three lines"):
        heads.verify(notes.sign(HEAD.text + "more\n", SIGNER), SIGNER.key)
