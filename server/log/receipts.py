"""Receipts: the signed promise that a download is in the log, given with its URLs: the server cannot deny it later."""

from dataclasses import dataclass
from typing import Self

from server.log import notes, tree
from server.log.notes import Malformed, Signer, VerifierKey

FIRST_LINE = "weightgate-receipt/v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """This leaf is in this log within `mmd_seconds` (the maximum merge delay) of `time_ms`. Raises Malformed.

    log: the log's origin. leaf: the leaf hash, 32 bytes: H(0x00 || commitment). time_ms: unix milliseconds.
    """

    log: str
    leaf: bytes
    time_ms: int
    mmd_seconds: int

    def __post_init__(self) -> None:
        if not notes.is_key_name(self.log) or "://" in self.log:
            raise Malformed("a receipt names a log's origin: no scheme, no spaces, no '+'")
        if len(self.leaf) != tree.HASH_BYTES:
            raise Malformed("a receipt has a leaf hash of 32 bytes")
        if not all(0 <= number <= notes.MAX_NUMBER for number in (self.time_ms, self.mmd_seconds)):
            raise Malformed("a receipt has a time and a delay from 0 to 2**63 - 1")

    @property
    def text(self) -> str:
        """The five lines that are signed. Source: reference/log.md, section 2."""
        values = (self.log, notes.encode_bytes(self.leaf), str(self.time_ms), str(self.mmd_seconds))
        lines = (f"{name} {value}\n" for name, value in zip(_NAMES, values, strict=True))
        return FIRST_LINE + "\n" + "".join(lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a receipt's text. Raises Malformed for any other line, order or spelling."""
        lines = text.split("\n")
        names = [line.partition(" ")[0] for line in lines[1:-1]]
        if lines[0] != FIRST_LINE or lines[-1] or names != list(_NAMES):
            raise Malformed(f"a receipt has five lines: {FIRST_LINE}, {', '.join(_NAMES)}")
        log, leaf, time_ms, mmd_seconds = (line.partition(" ")[2] for line in lines[1:-1])
        return cls(log, notes.decode_bytes(leaf), notes.decode_number(time_ms), notes.decode_number(mmd_seconds))


_NAMES = ("log", "leaf", "time", "mmd")


def sign(receipt: Receipt, signer: Signer) -> bytes:
    """Return the signed receipt. The key is the receipt key, `<host>/receipts/<year>`: never the log's.

    Raises NotSigned when the key bears the log's name: a key that signs both could be made to sign one for the other.
    """
    _require_other_key(receipt, signer.key)
    return notes.sign(receipt.text, signer)


def verify(note: bytes, key: VerifierKey) -> Receipt:
    """Return the receipt that this key signed. Raises Malformed, NotSigned."""
    receipt = Receipt.parse(notes.verify(note, key))
    _require_other_key(receipt, key)
    return receipt


def _require_other_key(receipt: Receipt, key: VerifierKey) -> None:
    if key.name == receipt.log:
        raise notes.NotSigned(f"a receipt is signed by a key of its own, not by the log's ({key.name})")
