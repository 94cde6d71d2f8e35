"""Heads: what a log says of itself at one size. C2SP tlog-checkpoint; "checkpoint" means model files here."""

from dataclasses import dataclass
from typing import Self

from server.log import notes, tree
from server.log.notes import Malformed, NotSigned, Signer, VerifierKey


@dataclass(frozen=True, slots=True)
class Head:
    """A log's size and root. size: leaves, below 2**63. root: 32 bytes. Raises Malformed for what no log can say.

    The origin is `<host>/downloads/<year>`: it is the name of the log's key too, so it must be one that a key can have.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not notes.is_key_name(self.origin) or "://" in self.origin:
            raise Malformed("an origin is a host and a path: no scheme, no spaces, no '+'")
        if not 0 <= self.size <= tree.MAX_SIZE or len(self.root) != tree.HASH_BYTES:
            raise Malformed("a head has a size below 2**63 and a root of 32 bytes")
        if self.size == 0 and self.root != tree.EMPTY_ROOT:
            raise Malformed("the head of an empty log has the empty root")

    @classmethod
    def empty(cls, origin: str) -> Self:
        """What a log says before its first entry."""
        return cls(origin, 0, tree.EMPTY_ROOT)

    @property
    def text(self) -> str:
        """The three lines that are signed. Extension lines are never written: some verifiers misread them."""
        return f"{self.origin}\n{self.size}\n{notes.encode_bytes(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a head's text. Raises Malformed.

        The specification allows extension lines and does not recommend them. A log of ours has none, so a text with one
        is not a head of ours, whoever signed it.
        """
        lines = text.split("\n")
        if len(lines) != 4 or lines[3]:
            raise Malformed("a head has exactly three lines: origin, size, root")
        return cls(lines[0], notes.decode_number(lines[1]), notes.decode_bytes(lines[2]))


def sign(head: Head, signer: Signer) -> bytes:
    """Return the signed head, as it is served at `/log/checkpoint`. Raises NotSigned when the key is another log's."""
    _require_own_key(head, signer.key)
    return notes.sign(head.text, signer)


def verify(note: bytes, key: VerifierKey) -> Head:
    """Return the head that the log's key signed. Raises Malformed, NotSigned (also for another log's origin)."""
    head = Head.parse(notes.verify(note, key))
    _require_own_key(head, key)
    return head


def _require_own_key(head: Head, key: VerifierKey) -> None:
    # A receipt key or last year's log key must not speak for this log, even where it is trusted for something else.
    if key.name != head.origin:
        raise NotSigned(f"the head of {head.origin} cannot be signed by {key.name}")
