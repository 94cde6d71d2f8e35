"""Signed notes: what Go signs we read, what we sign is what Go signs, and one wrong byte is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.log import notes
from server.log.notes import Kind, Malformed, NotAKey, NotSigned, Signer, VerifierKey

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "notes.json").read_text(encoding="utf-8"))
COSIGNATURES = VECTORS["cosignatures"]
REASONS = {"malformed": Malformed, "unsigned": NotSigned}
ACCEPTED = VECTORS["accepted"][0]
SIGNER = Signer.from_seed(VECTORS["keys"][0]["name"], bytes.fromhex(VECTORS["keys"][0]["seed_hex"]))
COSIGNED = COSIGNATURES["accepted"][0]


def note_of(case: dict[str, Any]) -> bytes:
    return base64.b64decode(case["note_base64"]) if "note_base64" in case else case["note"].encode()


@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["vkey"])
def test_a_key_is_written_and_read_as_its_vkey(case: dict[str, Any]) -> None:
    """Id and text follow from name, kind and public key, for keys that sign and keys that cosign."""
    key = VerifierKey(case["name"], bytes.fromhex(case["public_hex"]), Kind(case["kind"]))
    assert (key.id.hex(), str(key)) == (case["id_hex"], case["vkey"])
    assert VerifierKey.parse(case["vkey"]) == key
    assert Signer.from_seed(case["name"], bytes.fromhex(case["seed_hex"])).key.public == key.public


@pytest.mark.parametrize("vkey", VECTORS["refused_vkeys"], ids=repr)
def test_no_other_text_is_a_key(vkey: str) -> None:
    """A wrong id, another spelling, another kind, a key of another length: refused before anything trusts it."""
    with pytest.raises(NotAKey):
        VerifierKey.parse(vkey)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u00a0b", "a\u2028b", "a\x00b", "a\ud800b"], ids=repr
)
def test_a_name_that_a_line_cannot_carry_names_no_key(name: str) -> None:
    """Spaces and pluses would end the name early; control characters and surrogates cannot stand in a note."""
    with pytest.raises(NotAKey):
        VerifierKey(name, bytes(32))


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_a_seed_of_another_length_is_no_key(seed: bytes) -> None:
    """A key file that was cut is refused, and its bytes are not in the message."""
    with pytest.raises(NotAKey, match=r"^an Ed25519 seed has 32 bytes$"):
        Signer.from_seed("k", seed)


@pytest.mark.parametrize("case", VECTORS["accepted"], ids=lambda case: case["about"])
def test_what_others_signed_is_accepted(case: dict[str, Any]) -> None:
    """Every note that Go signed gives its text, whatever lines of other keys are around ours."""
    assert notes.verify(case["note"].encode(), VerifierKey.parse(case["vkey"])) == case["text"]


def test_we_sign_what_go_signs() -> None:
    """With the same key the note is the same to the byte."""
    assert notes.sign(ACCEPTED["text"], SIGNER) == ACCEPTED["note"].encode()


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["about"])
def test_what_is_wrong_in_one_place_is_refused(case: dict[str, Any]) -> None:
    """A note out of form is malformed though its signature may hold; a note in form that was not signed is unsigned."""
    with pytest.raises(REASONS[case["why"]]):
        notes.verify(note_of(case), VerifierKey.parse(case["vkey"]))


@pytest.mark.parametrize("text", ["", "no newline", "a\r\n", "a\tb\n", "a\x00\n", "\ud800\n"], ids=repr)
def test_nothing_is_signed_that_could_not_be_read_back(text: str) -> None:
    """A text that no verifier would take is refused before the key touches it."""
    with pytest.raises(Malformed):
        notes.sign(text, SIGNER)


def test_a_note_without_a_signer_is_no_note() -> None:
    """Signing with no key would make a text that looks like a note."""
    with pytest.raises(Malformed):
        notes.sign("text\n")


def test_several_keys_sign_one_note() -> None:
    """While a key is being replaced, old and new sign; each verifier finds its own line."""
    other = Signer.from_seed("other.example/log", bytes(32))
    note = notes.sign("text\n", SIGNER, other)
    assert notes.verify(note, SIGNER.key) == notes.verify(note, other.key) == "text\n"
    assert [signature.name for signature in notes.parse(note).signatures] == [SIGNER.key.name, other.key.name]


@given(st.text(st.characters(exclude_categories=["Cs"], min_codepoint=32) | st.just("\n")))
def test_any_text_comes_back_as_it_was_signed(text: str) -> None:
    """Empty lines, em dashes, other scripts: the text of a note is what was signed, and no more."""
    assert notes.verify(notes.sign(text + "\n", SIGNER), SIGNER.key) == text + "\n"


@given(at=st.integers(0, len(ACCEPTED["note"].encode()) - 1), byte=st.integers(0, 255))
def test_one_changed_byte_is_refused(at: int, byte: int) -> None:
    """Whichever byte of a note is changed, and to whatever, it no longer verifies."""
    note = ACCEPTED["note"].encode()
    changed = note[:at] + bytes([byte]) + note[at + 1 :]
    if changed == note:
        return
    with pytest.raises((Malformed, NotSigned)):
        notes.verify(changed, SIGNER.key)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Bytes from a stranger raise nothing but a refusal."""
    with pytest.raises((Malformed, NotSigned)):
        notes.verify(data, SIGNER.key)


@pytest.mark.parametrize("case", COSIGNATURES["accepted"], ids=lambda case: str(case["time"]))
def test_a_cosignature_tells_its_time(case: dict[str, Any]) -> None:
    """What the witness of witness-log signed is accepted, with the time at which it says it saw the head."""
    assert notes.verify_cosignature(case["note"].encode(), VerifierKey.parse(case["vkey"])) == case["time"]


@pytest.mark.parametrize("case", COSIGNATURES["refused"], ids=lambda case: case["about"])
def test_a_cosignature_that_does_not_hold_is_refused(case: dict[str, Any]) -> None:
    """Another time, another head, another key, or a signature without a time proves nothing about a witness."""
    with pytest.raises(NotSigned):
        notes.verify_cosignature(case["note"].encode(), VerifierKey.parse(case["vkey"]))


def test_a_key_does_one_thing() -> None:
    """A witness's key verifies no note, and a log's key no cosignature, even where the bytes would fit."""
    with pytest.raises(NotSigned, match="does not sign notes"):
        notes.verify(COSIGNED["note"].encode(), VerifierKey.parse(COSIGNED["vkey"]))
    with pytest.raises(NotSigned, match="does not cosign"):
        notes.verify_cosignature(COSIGNED["note"].encode(), SIGNER.key)


def test_a_witness_answer_is_added_once_it_holds() -> None:
    """Of an answer only the lines of the witness that we know are added, and the result is the cosigned note."""
    key = VerifierKey.parse(COSIGNED["vkey"])
    head, line = COSIGNED["note"].rsplit("\n", 2)[0] + "\n", COSIGNED["note"].rsplit("\n", 2)[1] + "\n"
    stranger = notes.Signature("stranger.example", b"abcd", b"e").line()
    assert notes.with_cosignature(head.encode(), (stranger + line).encode(), key) == COSIGNED["note"].encode()


@pytest.mark.parametrize("answer", [b"", b"\n", b"no line\n", b"\xff\n", "— stranger.example YWJjZGU=\n".encode()])
def test_a_witness_answer_that_is_none_adds_nothing(answer: bytes) -> None:
    """An error page, an empty answer or another's line is refused, and the note stays as it was."""
    head = COSIGNED["note"].rsplit("\n", 2)[0] + "\n"
    with pytest.raises((Malformed, NotSigned)):
        notes.with_cosignature(head.encode(), answer, VerifierKey.parse(COSIGNED["vkey"]))
