"""What a witness is sent, and what its answers mean: each status of the specification, and answers that lie."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.log import notes, tree, witnesses
from server.log.heads import Head, sign
from server.log.notes import Kind, Signature, Signer, VerifierKey
from server.log.witnesses import Given, NotCosigned, OtherHistory, OtherSize

ORIGIN = "weights.example.org/downloads/2026"
LOG = Signer.from_seed(ORIGIN, bytes(32))
ROOT = tree.root([tree.leaf_hash(b"x")])
NOTE = sign(Head(ORIGIN, 1, ROOT), LOG)
SECRET = Ed25519PrivateKey.from_private_bytes(b"\7" * 32)
KEY = VerifierKey("witness.example/w1", SECRET.public_key().public_bytes_raw(), Kind.COSIGNATURE)
NOW = 1_767_225_600


def cosign(note: bytes, at: int = NOW, name: str = KEY.name, key_id: bytes = KEY.id) -> bytes:
    """A witness's line, made from the specification: C2SP tlog-cosignature, Ed25519 signed message."""
    text = note.decode().partition("\n\n")[0] + "\n"
    signature = SECRET.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    return Signature(name, key_id, at.to_bytes(8, "big") + signature).line().encode()


def judged(status: int, kind: str = "text/plain", body: bytes = b"") -> Given:
    return witnesses.judge(status, kind, body, NOTE, KEY, NOW)


def test_a_request_has_the_old_size_the_proof_and_the_note() -> None:
    """As C2SP tlog-witness writes it: each on its line, an empty line, and the head to the byte."""
    hashes = [b"\1" * 32, b"\2" * 32]
    lines = ["old 7", notes.encode_bytes(hashes[0]), notes.encode_bytes(hashes[1]), "", NOTE.decode()]
    assert witnesses.request(NOTE, 7, hashes).decode() == "\n".join(lines)
    assert witnesses.request(NOTE, 0, []) == b"old 0\n\n" + NOTE


def test_a_cosignature_that_holds_is_taken_with_its_time() -> None:
    """Whatever lines of other keys are beside it: those are not taken."""
    stranger = Signature("other.example/w9", b"abcd", b"x" * 72).line().encode()
    assert judged(200, body=stranger + cosign(NOTE, NOW - 5)) == Given(cosign(NOTE, NOW - 5).decode(), NOW - 5)


OTHER = sign(Head(ORIGIN, 1, tree.root([tree.leaf_hash(b"y")])), LOG)
LIES = {
    "nothing": b"",
    "no signature line": b"thank you\n",
    "not text": b"\xff\xfe\n",
    "another head's": cosign(OTHER),
    "another name's": cosign(NOTE, name="other.example/w1"),
    "another key's": cosign(NOTE, key_id=b"\0\0\0\0"),
    "a spoiled one": cosign(NOTE)[:-12] + b"AAAAAAAAAA=\n",
    "a good one and a spoiled one": cosign(NOTE) + cosign(OTHER),
    "an old one again": cosign(NOTE, NOW - 61),
    "one of the future": cosign(NOTE, NOW + 61),
    "two": cosign(NOTE) + cosign(NOTE, NOW - 1),
    "without its newline": cosign(NOTE)[:-1],
}


@pytest.mark.parametrize("lie", LIES)
def test_no_other_answer_passes_for_a_cosignature(lie: str) -> None:
    """Refused, whoever answered: nothing is stored that a partner's client would not accept."""
    with pytest.raises(NotCosigned):
        judged(200, body=LIES[lie])


def test_a_witness_at_another_size_says_which() -> None:
    """409 with the size, in the type of its own."""
    with pytest.raises(OtherSize) as found:
        judged(409, "text/x.tlog.size", b"12\n")
    assert found.value.size == 12
    for kind, body in (("text/plain", b"12\n"), ("text/x.tlog.size", b"12"), ("text/x.tlog.size", b"012\n"),
                       ("text/x.tlog.size", b"-1\n"), ("text/x.tlog.size", b"\xb2\n"), ("", b"")):  # fmt: skip
        with pytest.raises(NotCosigned, match="without the size"):
            judged(409, kind, body)


def test_a_proof_that_does_not_hold_there_is_another_history() -> None:
    """422: the witness has cosigned what our log does not continue."""
    with pytest.raises(OtherHistory):
        judged(422)


@pytest.mark.parametrize(
    ("status", "says"), [(400, "malformed"), (403, "key"), (404, "add the log's name"), (429, "often"), (503, "503")]
)
def test_every_other_answer_says_what_to_do(status: int, says: str) -> None:
    """In words of ours: what the witness wrote is not repeated."""
    with pytest.raises(NotCosigned, match=says):
        judged(status, body=b"secret words")
