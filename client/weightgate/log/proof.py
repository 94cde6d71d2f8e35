"""Proofs of inclusion, after c2sp.org/tlog-proof: index, path and the head that they lead to."""

from dataclasses import dataclass

from weightgate.log import hashing, head
from weightgate.log.encoding import decode_base64, decode_decimal, value_after
from weightgate.log.hashing import HASH_BYTES
from weightgate.log.head import Head
from weightgate.log.note import VerifierKey
from weightgate.verdicts import Malformed, Refuted

SIZE_BYTES_AT_MOST = 256 * 1024  # witnesses' signatures may be long
_FORM = "c2sp.org/tlog-proof@v1"
_PATH_AT_MOST = 63  # a tree of 2^63 leaves


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof, taken apart. extra: the salt, which nothing here relies on; None when it was left out."""

    extra: str | None
    index: int
    path: list[bytes]
    head_note: bytes


def parse(data: bytes) -> Proof:
    """Raises Refuted when the bytes are not a proof."""
    try:
        return _parse(data)
    except Malformed as error:
        raise Refuted("malformed_proof", f"The server's proof is malformed: {error}.") from None


def require_included(data: bytes, leaf: bytes, salt: str, key: VerifierKey) -> tuple[int, Head]:
    """Return where the leaf hash is, and the signed head that shows it. Raises Refuted."""
    proof = parse(data)
    if proof.extra not in (None, salt):
        raise Refuted("other_proof", "The server's proof is for a different record: its salt differs.")
    shown = head.read(proof.head_note, key, "The head in the server's proof")
    if not hashing.includes(leaf, proof.index, shown.size, proof.path, shown.root):
        raise Refuted(
            "not_included",
            f"The server's proof does not lead from the receipt to entry {proof.index} of the log {shown.origin}.",
        )
    return proof.index, shown


def _parse(data: bytes) -> Proof:
    above, blank, head_note = data.partition(b"\n\n")
    try:
        lines = above.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Malformed("it is not ASCII above the head") from None
    if not blank or lines.pop(0) != _FORM:
        raise Malformed(f"it is not {_FORM} with a head below an empty line")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = value_after(lines.pop(0), "extra")
        if not decode_base64(extra):
            raise Malformed("it has an extra line without data")
    if not lines:
        raise Malformed("it has no index")
    index = decode_decimal(value_after(lines.pop(0), "index"))
    if len(lines) > _PATH_AT_MOST:
        raise Malformed(f"its path is longer than {_PATH_AT_MOST} hashes")
    return Proof(extra, index, [decode_base64(line, HASH_BYTES) for line in lines], head_note)
