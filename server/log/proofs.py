"""Proof files: one entry's place in a log, to be checked without asking anybody. C2SP tlog-proof."""

from dataclasses import dataclass
from typing import Self

from server.log import heads, notes, tree
from server.log.heads import Head
from server.log.notes import Malformed, VerifierKey

FIRST_LINE = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63  # a tree of less than 2**63 leaves is no higher


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof file holds. Raises Malformed.

    index: 0-based. hashes: 32 bytes each, the leaf's sibling first. head: the signed head, as bytes. extra: the entry's
    salt, which the proof does not protect: it counts once salt and record give the leaf. None where it was erased.
    """

    index: int
    hashes: tuple[bytes, ...]
    head: bytes
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < tree.MAX_SIZE:
            raise Malformed("an index is a count below 2**63")
        if len(self.hashes) > MAX_HASHES or any(len(part) != tree.HASH_BYTES for part in self.hashes):
            raise Malformed(f"a proof has at most {MAX_HASHES} hashes of {tree.HASH_BYTES} bytes")
        if self.extra == b"":
            raise Malformed("a proof without extra data leaves its line out")
        notes.parse(self.head)

    def encode(self) -> bytes:
        """Return the file. Source: C2SP tlog-proof, Format."""
        lines = [FIRST_LINE]
        if self.extra is not None:
            lines.append(f"extra {notes.encode_bytes(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(notes.encode_bytes, self.hashes)
        return ("\n".join(lines) + "\n\n").encode() + self.head

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a proof file, without believing it. Raises Malformed."""
        text, blank, head = data.partition(b"\n\n")
        if not blank or not text.isascii():
            raise Malformed("a proof has ASCII lines, an empty line, and a head")
        lines = text.decode().split("\n")
        if lines.pop(0) != FIRST_LINE:
            raise Malformed(f"a proof begins with {FIRST_LINE}")
        extra = notes.decode_bytes(_field(lines, "extra")) if lines and lines[0].startswith("extra ") else None
        index = notes.decode_number(_field(lines, "index"))
        return cls(index, tuple(map(notes.decode_bytes, lines)), head, extra)


def verify(data: bytes, leaf: bytes, key: VerifierKey) -> Head:
    """Return the signed head of the log that holds this leaf hash. Raises Malformed, NotSigned, NotProven."""
    proof = Proof.parse(data)
    head = heads.verify(proof.head, key)
    tree.verify_inclusion(leaf, proof.index, head.size, proof.hashes, head.root)
    return head


def _field(lines: list[str], name: str) -> str:
    """Take the next line off, which must be `name value`."""
    found, _, value = lines.pop(0).partition(" ") if lines else ("", "", "")
    if found != name:
        raise Malformed(f"a proof has its {name!r} line here")
    return value
