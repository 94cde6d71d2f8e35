"""Signed notes and their keys, after c2sp.org/signed-note. Only Ed25519 (0x01) signatures count here."""

import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from weightgate.log.encoding import decode_base64, encode_base64, require_key_name
from weightgate.verdicts import Malformed

_ED25519 = b"\x01"
_KEY_ID_BYTES = 4
_PUBLIC_KEY_BYTES = 32
_SIGNATURES_AT_MOST = 100  # the specification demands at least 16
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DASH = "— "


class NotSigned(Exception):
    """A note does not carry a good signature by the key that was asked for. The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name: what signatures are checked with."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line, not checked."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text (its last newline included) and what is claimed to be signatures of it."""

    text: str
    signatures: tuple[Signature, ...]

    def require_signed_by(self, key: VerifierKey) -> None:
        """Raise NotSigned unless the key signed the text.

        Signatures of other keys are ignored, as the specification demands; a bad one of this key is never.
        """
        mine = [line for line in self.signatures if (line.name, line.key_id) == (key.name, key.key_id)]
        if not mine:
            raise NotSigned(f"it has no signature by the key {key.name}+{key.key_id.hex()}")
        public = Ed25519PublicKey.from_public_bytes(key.public)
        for line in mine:
            try:
                public.verify(line.signature, self.text.encode())
            except InvalidSignature:
                raise NotSigned(f"the signature by {key.name} is not valid") from None


def parse(data: bytes) -> Note:
    """Take a note apart. Raises Malformed; nothing is verified."""
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("it is not UTF-8") from None
    if _CONTROL.search(whole):
        raise Malformed("it contains a control character")
    before, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise Malformed("it has no signatures after an empty line, or does not end with a newline")
    signatures = lines.removesuffix("\n").split("\n")
    if len(signatures) > _SIGNATURES_AT_MOST:
        raise Malformed(f"it has more than {_SIGNATURES_AT_MOST} signatures")
    return Note(f"{before}\n", tuple(_parse_signature(line) for line in signatures))


def parse_vkey(text: str) -> VerifierKey:
    """Read `name+hash+base64`. Raises Malformed, also for a key whose id is not that of its name and bytes."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    require_key_name(name)
    data = decode_base64(encoded, len(_ED25519) + _PUBLIC_KEY_BYTES)
    if not data.startswith(_ED25519):
        raise Malformed("it is not an Ed25519 key (0x01)")
    key = VerifierKey(name, data.removeprefix(_ED25519))
    if key.key_id.hex() != key_id:
        raise Malformed("its key ID does not match its name and key")
    return key


def _parse_signature(line: str) -> Signature:
    if not line.startswith(_DASH):
        raise Malformed("a signature line does not start with an em dash and a space")
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    require_key_name(name)
    data = decode_base64(encoded)
    if len(data) <= _KEY_ID_BYTES:
        raise Malformed("a signature is too short")
    return Signature(name, data[:_KEY_ID_BYTES], data[_KEY_ID_BYTES:])
