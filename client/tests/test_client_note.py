"""Notes and keys: what is one, and what only looks like one."""

import pytest

from client.tests.slow_log import Signer, b64
from weightgate.log import note
from weightgate.log.note import NotSigned
from weightgate.verdicts import Malformed

TEXT = "one line\n\nand another\n"
ALICE, BOB = Signer("example.org/alice", b"a"), Signer("example.org/bob", b"b")
NOTE = ALICE.note(TEXT)


def test_a_note_signed_by_several_is_good_for_each_of_them() -> None:
    """The text ends at the last empty line, and signatures of unknown keys, also of old kinds, do not disturb."""
    unknown = f"— wítness/3 {b64(b'abcd' + bytes(8))}\n"
    parsed = note.parse((NOTE + BOB.line(TEXT) + unknown).encode())
    assert parsed.text == TEXT
    for signer in (ALICE, BOB):
        parsed.require_signed_by(note.parse_vkey(signer.vkey))


def test_a_key_survives_being_written_and_read() -> None:
    """A vkey reads to the key that writes it."""
    assert str(note.parse_vkey(ALICE.vkey)) == ALICE.vkey


def test_a_signature_is_of_one_text_and_one_key() -> None:
    """Another text, another key, or a bad line of the key beside a good one: not signed."""
    alice, bob = note.parse_vkey(ALICE.vkey), note.parse_vkey(BOB.vkey)
    for text, key in ((NOTE.replace("one", "two"), alice), (NOTE, bob), (NOTE + ALICE.line("other\n"), alice)):
        with pytest.raises(NotSigned):
            note.parse(text.encode()).require_signed_by(key)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        TEXT.encode(),
        NOTE.encode()[:-1],
        NOTE.encode() + b"\n",
        NOTE.replace("one", "o\tne").encode(),
        NOTE.replace("one", "o\rne").encode(),
        NOTE.replace("one", "o\0ne").encode(),
        NOTE.replace("— ", "- ").encode(),
        NOTE.replace("alice ", "alice+ ").encode(),
        NOTE.replace("— example.org/alice", "— ").encode(),
        NOTE.replace("example.org/alice", "a\u2003b").encode(),
        NOTE.encode().replace(b"one", b"\xff"),
        f"{TEXT}\n— x AAAA\n".encode(),
        f"{TEXT}\n— x AAAAA\n".encode(),
        f"{TEXT}\n— x AAAAAAB=\n".encode(),
        (NOTE + BOB.line(TEXT) * 100).encode(),
    ],
)
def test_what_only_looks_like_a_note_is_refused(data: bytes) -> None:
    """Cut, grown, with control characters, bad names, bad base64 or endless signatures, a note is none."""
    with pytest.raises(Malformed):
        note.parse(data)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        ALICE.vkey.replace("alice", "bob"),
        ALICE.vkey.replace("example.org/alice+", "example.org/alice+0"),
        ALICE.vkey.replace("example.org/alice", "exa mple"),
        ALICE.vkey + "\n",
        ALICE.vkey[:-1],
        "n+12345678+" + b64(b"\x04" + bytes(32)),
    ],
)
def test_what_only_looks_like_a_key_is_refused(text: str) -> None:
    """A vkey must have its own id, its length, and the Ed25519 type."""
    with pytest.raises(Malformed):
        note.parse_vkey(text)
