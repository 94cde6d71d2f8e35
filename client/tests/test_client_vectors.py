"""The vectors that client and server share: written by others, from the same specification."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from client.tests.slow_log import SlowTree, sha256
from weightgate.log import hashing, head, note, proof, receipt
from weightgate.log.note import NotSigned
from weightgate.log.tiles import TILE_WIDTH, Tree, tile_path
from weightgate.verdicts import Malformed, Refuted

FOLDER = Path(__file__).parents[2] / "tests" / "vectors"
Case = dict[str, Any]


def _read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_bytes())


TREE, NOTES, PROOFS, RECEIPTS = (_read(name) for name in ("tree", "notes", "proofs", "receipts"))
LARGE = 70_000


def _about(case: Case) -> str:
    return str(case["about"])


def _bytes(case: Case, field: str) -> bytes:
    if field in case:
        return str(case[field]).encode()
    return base64.b64decode(case[f"{field}_base64"])


@pytest.fixture(scope="module")
def counted() -> SlowTree:
    return SlowTree([sha256(i.to_bytes(8, "big")) for i in range(LARGE)])


@pytest.mark.parametrize("case", _read("log")["cases"], ids=lambda case: case["commitment_hex"][:8])
def test_commitments_and_leaf_hashes_agree(case: Case) -> None:
    """Salt and record give the commitment, and that the leaf hash."""
    commitment = hashing.commit(bytes.fromhex(case["salt_hex"]), case["record"].encode())
    assert commitment.hex() == case["commitment_hex"]
    assert hashing.hash_leaf(commitment).hex() == case["leaf_hash_hex"]


def test_proofs_of_both_kinds_agree(counted: SlowTree) -> None:
    """Every inclusion and consistency that Go computed verifies, in the tree of RFC 6962 and in a large one."""
    rfc = SlowTree([bytes.fromhex(entry) for entry in TREE["rfc6962"]["entries_hex"]])
    for tree, cases in ((rfc, TREE["rfc6962"]), (counted, TREE["counted"])):
        for case in cases["inclusion"]:
            index, size, path = case["index"], case["size"], [bytes.fromhex(node) for node in case["proof_hex"]]
            assert hashing.includes(hashing.hash_leaf(tree.entries[index]), index, size, path, tree.root(size))
        for case in cases["consistency"]:
            old, new, path = case["old_size"], case["new_size"], [bytes.fromhex(node) for node in case["proof_hex"]]
            assert hashing.continues(old, new, tree.root(old), tree.root(new), path)
            assert Tree(new, lambda *where, t=tree, n=new: t.tile(where[0], where[1], n)).consistency_path(old) == path
    assert hashing.EMPTY_ROOT.hex() == TREE["empty_root_hex"]


def test_roots_agree(counted: SlowTree) -> None:
    """The slow tree that the client's tests lean on is itself the one that Go computed."""
    for case in TREE["counted"]["roots"]:
        assert counted.root(case["size"]).hex() == case["root_hex"]


@pytest.mark.parametrize("case", TREE["geometry"], ids=lambda case: str(case["size"]))
def test_the_geometry_of_tiles_agrees(case: Case) -> None:
    """Each tile of a tree of this size is asked for in the width that it has, as far as a proof of it needs it."""
    asked: set[tuple[int, int, int]] = set()

    def fetch(level: int, number: int, width: int) -> bytes:
        asked.add((level, number, width))
        return bytes(32 * width)

    for first in {1, case["size"] // 2, case["size"] - 1} & set(range(1, case["size"])):
        Tree(case["size"], fetch).consistency_path(first)
    for level, number, width in asked:
        there = case["levels"][level]
        assert (number < there["full"]) == (width == TILE_WIDTH)
        assert width == TILE_WIDTH or (number, width) == (there["full"], there["partial"])


def test_paths_of_tiles_agree() -> None:
    """Where a tile stands, for the levels that the client reads."""
    for case in TREE["paths"]:
        if case["level"] != "entries":
            assert f"tile/{tile_path(case['level'], case['index'], case['width'])}" == case["path"]


@pytest.mark.parametrize("case", NOTES["accepted"], ids=_about)
def test_good_notes_are_read(case: Case) -> None:
    """The text is that which was signed."""
    parsed = note.parse(_bytes(case, "note"))
    parsed.require_signed_by(note.parse_vkey(case["vkey"]))
    assert parsed.text == case["text"]


@pytest.mark.parametrize("case", NOTES["refused"], ids=_about)
def test_bad_notes_are_refused(case: Case) -> None:
    """Malformed where no verifier may read it, not signed where it reads well."""
    with pytest.raises({"malformed": Malformed, "unsigned": NotSigned}[case["why"]]):
        note.parse(_bytes(case, "note")).require_signed_by(note.parse_vkey(case["vkey"]))


@pytest.mark.parametrize("text", NOTES["refused_vkeys"])
def test_bad_keys_are_refused(text: str) -> None:
    """What only looks like a vkey is none."""
    with pytest.raises(Malformed):
        note.parse_vkey(text)


@pytest.mark.parametrize("case", NOTES["keys"], ids=lambda case: case["name"])
def test_keys_are_read_unless_they_are_of_witnesses(case: Case) -> None:
    """Ed25519 keys read to their parts; a witness's key is not one that signs heads or receipts."""
    if case["kind"] == 1:
        key = note.parse_vkey(case["vkey"])
        assert (key.name, key.public.hex(), key.key_id.hex()) == (case["name"], case["public_hex"], case["id_hex"])
        assert str(key) == case["vkey"]
    else:
        with pytest.raises(Malformed):
            note.parse_vkey(case["vkey"])


@pytest.mark.parametrize("case", NOTES["cosignatures"]["accepted"], ids=range(2))
def test_a_witness_does_not_disturb(case: Case) -> None:
    """A note that a witness signed too reads to its text, and its cosignature to one of the lines."""
    parsed = note.parse(_bytes(case, "note"))
    assert case["vkey"].partition("+")[0] in [line.name for line in parsed.signatures]


@pytest.mark.parametrize("case", PROOFS["heads"]["accepted"], ids=lambda case: str(case["size"]))
def test_good_heads_are_read(case: Case) -> None:
    """Origin, size and root are those of the text."""
    read = head.parse_text(case["text"])
    assert (read.origin, read.size, read.root.hex()) == (case["origin"], case["size"], case["root_hex"])


@pytest.mark.parametrize("case", PROOFS["heads"]["refused"], ids=_about)
def test_bad_heads_are_refused(case: Case) -> None:
    """What only looks like a head is none."""
    with pytest.raises(Malformed):
        head.parse_text(case["text"])


@pytest.mark.parametrize("case", PROOFS["accepted"], ids=_about)
def test_good_proofs_are_proven(case: Case) -> None:
    """The leaf is where the proof says, under the head that it carries."""
    salt = base64.b64encode(bytes.fromhex(case["extra_hex"] or "")).decode()
    key = note.parse_vkey(case["vkey"])
    index, shown = proof.require_included(_bytes(case, "proof"), bytes.fromhex(case["leaf_hex"]), salt, key)
    assert (index, shown.size, shown.root.hex()) == (case["index"], case["size"], case["root_hex"])


@pytest.mark.parametrize("case", PROOFS["refused"], ids=_about)
def test_bad_proofs_are_refused(case: Case) -> None:
    """Each for the reason that the vectors name."""
    codes = {
        "malformed": {"malformed_proof", "malformed_head"},
        "unsigned": {"head_not_signed", "other_log"},
        "unproven": {"not_included"},
    }
    data, leaf = _bytes(case, "proof"), bytes.fromhex(case["leaf_hex"])
    salt = next((line[6:] for line in data.decode().split("\n") if line.startswith("extra ")), "")
    with pytest.raises(Refuted) as refuted:
        proof.require_included(data, leaf, salt, note.parse_vkey(case["vkey"]))
    assert refuted.value.verdict.code in codes[case["why"]]


@pytest.mark.parametrize("case", RECEIPTS["accepted"], ids=lambda case: case["leaf_hex"][:8])
def test_good_receipts_are_read(case: Case) -> None:
    """What the receipt promises, for which leaf, under whose key."""
    read = receipt.parse(_bytes(case, "receipt"))
    read.require_signed_by(note.parse_vkey(case["vkey"]))
    assert (read.log, read.leaf.hex()) == (case["log"], case["leaf_hex"])
    assert (read.time_ms, read.mmd_seconds) == (case["time_ms"], case["mmd_seconds"])
    commitment = hashing.commit(bytes.fromhex(case["salt_hex"]), case["record"].encode())
    assert hashing.hash_leaf(commitment) == read.leaf


@pytest.mark.parametrize("case", RECEIPTS["refused"], ids=_about)
def test_bad_receipts_are_refused(case: Case) -> None:
    """Malformed or not signed: as the vectors say, and a key of the log's name signs none."""
    codes = {"malformed": "malformed_receipt", "unsigned": "receipt_not_signed"}
    with pytest.raises(Refuted) as refuted:
        receipt.parse(_bytes(case, "receipt")).require_signed_by(note.parse_vkey(case["vkey"]))
    assert refuted.value.verdict.code == codes[case["why"]]
