"""Heads: the signed size and root of a log (C2SP: checkpoint)."""

from dataclasses import dataclass

from weightgate.log import note
from weightgate.log.encoding import decode_base64, decode_decimal, require_origin
from weightgate.log.hashing import EMPTY_ROOT, HASH_BYTES
from weightgate.log.note import NotSigned, VerifierKey
from weightgate.verdicts import Malformed, Refuted


@dataclass(frozen=True, slots=True)
class Head:
    """A log's state as its key signed it. note: the bytes that were signed and the signatures, kept as evidence."""

    origin: str
    size: int
    root: bytes
    note: bytes


def read(data: bytes, key: VerifierKey, shown_as: str) -> Head:
    """Take apart and verify a head of the log that `key` is the key of. Raises Refuted, naming it as `shown_as`."""
    try:
        signed = note.parse(data)
        signed.require_signed_by(key)  # first: what is not signed is not looked at
        head = parse_text(signed.text, data)
    except Malformed as error:
        raise Refuted("malformed_head", f"{shown_as} is malformed: {error}.") from None
    except NotSigned as error:
        raise Refuted("head_not_signed", f"{shown_as} is not signed by the log: {error}.") from None
    if head.origin != key.name:
        raise Refuted("other_log", f"{shown_as} is for the log {head.origin}, not for {key.name}.")
    return head


def origin_of(data: bytes) -> str | None:
    """Which log a head claims to be of, nothing verified; None when it is no head."""
    try:
        return parse_text(note.parse(data).text, data).origin
    except Malformed:
        return None


def parse_text(text: str, data: bytes = b"") -> Head:
    """Read the text of a head: `data` is the note that it is the text of. Raises Malformed; nothing is verified."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:  # the last newline leaves an empty end
        raise Malformed("its text has not exactly three lines")
    head = Head(require_origin(lines[0]), decode_decimal(lines[1]), decode_base64(lines[2], HASH_BYTES), data)
    if head.size == 0 and head.root != EMPTY_ROOT:
        raise Malformed("a log without entries does not have the root of the empty tree")
    return head
