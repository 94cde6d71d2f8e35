"""Signed notes: a text, and lines that say who signed it. C2SP signed-note, and the Ed25519 kind of tlog-cosignature.

Every part has one form only, so that a note which two verifiers read is the same note to both.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAX_SIGNATURES = 100  # Go's limit too; the specification demands 16 at least
MAX_NUMBER = 2**63 - 1
KEY_BYTES = 32
KEY_ID_BYTES = 4
TIME_BYTES = 8

_LINE_START = "— "  # em dash, U+2014
_NOT_IN_TEXT = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")  # control characters but the newline; lone surrogates
_NOT_IN_NAME = re.compile(r"[\s+\x00-\x1f\ud800-\udfff]")  # \s: every Unicode space
_DECIMAL = re.compile("0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile("[0-9a-f]{8}")


class Malformed(ValueError):
    """The bytes have not the form that the specification gives them. The text says which part."""


class NotAKey(ValueError):
    """The text is not a verifier key, or the name is not one that a key can have."""


class NotSigned(ValueError):
    """The key did not sign this note, or a line that bears its name and id does not verify."""


class Kind(IntEnum):
    """What a key signs. Source: C2SP signed-note, Signature types."""

    ED25519 = 0x01  # the note's text
    COSIGNATURE = 0x04  # a time and the text of a head


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under the name that stands in the note. public: 32 bytes, RFC 8032. Raises NotAKey."""

    name: str
    public: bytes
    kind: Kind = Kind.ED25519

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public) != KEY_BYTES:
            raise NotAKey("a key has a name without spaces or '+', and 32 bytes")

    @property
    def id(self) -> bytes:
        """The 4 bytes that stand before its signatures. Source: C2SP signed-note, Signatures."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_bytes(bytes([self.kind]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `name+id+base64(kind, public)`. Raises NotAKey, also when the id is not the key's own."""
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            material = decode_bytes(encoded)
            key = cls(name, material[1:], Kind(material[0]))
        except (ValueError, IndexError):
            raise NotAKey("not a verifier key: expected name+id+base64") from None
        if not _KEY_ID.fullmatch(key_id) or key.id.hex() != key_id:
            raise NotAKey("the verifier key's id is not its own: a character is wrong")
        return key


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs, wherever its secret is. sign: bytes to a signature of 64 bytes, RFC 8032."""

    key: VerifierKey
    sign: Callable[[bytes], bytes] = field(repr=False)

    @classmethod
    def from_seed(cls, name: str, seed: bytes) -> Self:
        """A signer from the 32 secret bytes of a key file. Raises NotAKey."""
        if len(seed) != KEY_BYTES:
            raise NotAKey(f"an Ed25519 seed has {KEY_BYTES} bytes")
        private = Ed25519PrivateKey.from_private_bytes(seed)
        return cls(VerifierKey(name, private.public_key().public_bytes_raw()), private.sign)


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note: whose it says it is. Nothing is proven by it before `verify`."""

    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"{_LINE_START}{self.name} {encode_bytes(self.key_id + self.value)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart. text: with its last newline."""

    text: str
    signatures: tuple[Signature, ...]

    def by(self, key: VerifierKey) -> list[Signature]:
        """Return the lines that bear this key's name and id. Raises NotSigned when there is none."""
        found = [signature for signature in self.signatures if (signature.name, signature.key_id) == (key.name, key.id)]
        if not found:
            raise NotSigned(f"not signed by {key.name}")
        return found


def is_key_name(name: str) -> bool:
    """Whether a key may bear this name. Source: C2SP signed-note, Format."""
    return bool(name) and not _NOT_IN_NAME.search(name)


def sign(text: str, *signers: Signer) -> bytes:
    """Return the note: the text, which ends in a newline, signed by each. Raises Malformed."""
    if not text.endswith("\n") or _NOT_IN_TEXT.search(text) or not signers:
        raise Malformed("a note has a text without control characters that ends in a newline, and a signer")
    content = text.encode()
    lines = [Signature(signer.key.name, signer.key.id, signer.sign(content)).line() for signer in signers]
    return content + b"\n" + "".join(lines).encode()


def parse(note: bytes) -> Note:
    """Take a note apart, without believing it. Raises Malformed. Source: C2SP signed-note, Format."""
    try:
        content = note.decode()
    except UnicodeDecodeError:
        raise Malformed("a note is UTF-8") from None
    text, blank, lines = content.rpartition("\n\n")
    if not blank:
        raise Malformed("a note has an empty line before its signatures")
    if _NOT_IN_TEXT.search(text):
        raise Malformed("a note has no control characters")
    return Note(text + "\n", parse_lines(lines))


def parse_lines(lines: str) -> tuple[Signature, ...]:
    """Read one or more signature lines, each with its newline. Raises Malformed."""
    if not lines.endswith("\n") or lines.count("\n") > MAX_SIGNATURES:
        raise Malformed(f"a note ends in 1 to {MAX_SIGNATURES} signature lines, each with its newline")
    return tuple(_parse_line(line) for line in lines[:-1].split("\n"))


def verify(note: bytes, key: VerifierKey) -> str:
    """Return the note's text, which this key signed. Raises Malformed, NotSigned.

    Lines of other keys are passed over; every line of this one must hold: one that does not is a forgery or a fault.
    """
    parsed = parse(note)
    if key.kind is not Kind.ED25519:
        raise NotSigned(f"{key.name} cosigns heads; it does not sign notes")
    for signature in parsed.by(key):
        _require(key, signature.value, parsed.text)
    return parsed.text


def verify_cosignature(note: bytes, key: VerifierKey) -> int:
    """Return when the witness last saw this head, in unix seconds. Raises Malformed, NotSigned.

    Source: C2SP tlog-cosignature, Ed25519 signed message.
    """
    parsed = parse(note)
    if key.kind is not Kind.COSIGNATURE:
        raise NotSigned(f"{key.name} signs notes; it does not cosign heads")
    times = []
    for signature in parsed.by(key):
        time = int.from_bytes(signature.value[:TIME_BYTES], "big")
        if time > MAX_NUMBER:
            raise NotSigned("a cosignature's time is beyond 2**63 - 1")
        _require(key, signature.value[TIME_BYTES:], f"cosignature/v1\ntime {time}\n{parsed.text}")
        times.append(time)
    return max(times)


def with_cosignature(note: bytes, answer: bytes, key: VerifierKey) -> bytes:
    """Return the note with the witness's own lines of its answer added, once they hold. Raises Malformed, NotSigned."""
    try:
        lines = parse_lines(answer.decode())
    except UnicodeDecodeError:
        raise Malformed("signature lines are UTF-8") from None
    cosigned = note + "".join(signature.line() for signature in Note("", lines).by(key)).encode()
    verify_cosignature(cosigned, key)
    return cosigned


def encode_bytes(data: bytes) -> str:
    """Return standard base64, RFC 4648 section 4."""
    return base64.b64encode(data).decode()


def decode_bytes(text: str) -> bytes:
    """Read standard base64 in its one form. Raises Malformed for other alphabets, missing padding and stray bits."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Malformed("not base64") from None
    if encode_bytes(data) != text:
        raise Malformed("not base64 in its one form")
    return data


def decode_number(text: str) -> int:
    """Read a decimal without sign or leading zero, below 2**63. Raises Malformed."""
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_NUMBER:
        raise Malformed("not a decimal number in its one form")
    return int(text)


def _parse_line(line: str) -> Signature:
    name, _, encoded = line.removeprefix(_LINE_START).partition(" ")
    if not line.startswith(_LINE_START) or not is_key_name(name):
        raise Malformed("a signature line is an em dash, a key name and base64, with a space between")
    blob = decode_bytes(encoded)
    if len(blob) <= KEY_ID_BYTES:
        raise Malformed("a signature line has no signature")
    return Signature(name, blob[:KEY_ID_BYTES], blob[KEY_ID_BYTES:])


def _require(key: VerifierKey, signature: bytes, message: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message.encode())
    except InvalidSignature:
        raise NotSigned(f"the signature of {key.name} does not hold") from None
