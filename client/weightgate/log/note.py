"""Signed notes and their keys, after c2sp.org/signed-note: a log's Ed25519 signature, and witnesses' cosignatures."""

import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from weightgate.log.encoding import decode_base64, encode_base64, require_key_name
from weightgate.verdicts import Malformed

_ED25519 = b"\x01"
_COSIGNATURE = b"\x04"  # after c2sp.org/tlog-cosignature
_TIME_BYTES = 8
_TIME_AT_MOST = 2**63 - 1
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
    kind: bytes = _ED25519

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + self.kind + self.public).digest()[:_KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(self.kind + self.public)}"


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
        mine = self._by(key)
        if not mine:
            raise NotSigned(f"it has no signature by the key {key.name}+{key.key_id.hex()}")
        public = Ed25519PublicKey.from_public_bytes(key.public)
        for line in mine:
            try:
                public.verify(line.signature, self.text.encode())
            except InvalidSignature:
                raise NotSigned(f"the signature by {key.name} is not valid") from None

    def cosigned_at(self, key: VerifierKey) -> int | None:
        """When the witness last said that it had seen this head, in seconds since 1970; None when it never did.

        Raises NotSigned for a cosignature of this key that is not valid: somebody made it up.
        """
        public, times = Ed25519PublicKey.from_public_bytes(key.public), []
        for line in self._by(key):
            time = int.from_bytes(line.signature[:_TIME_BYTES], "big")
            message = f"cosignature/v1\ntime {time}\n{self.text}".encode()
            try:
                public.verify(line.signature[_TIME_BYTES:], message)
            except InvalidSignature:
                raise NotSigned(f"the cosignature by {key.name} is not valid") from None
            if time > _TIME_AT_MOST:
                raise NotSigned(f"the cosignature by {key.name} has an impossible time")
            times.append(time)
        return max(times, default=None)

    def _by(self, key: VerifierKey) -> list[Signature]:
        return [line for line in self.signatures if (line.name, line.key_id) == (key.name, key.key_id)]


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
    """Read the key of a log, `name+hash+base64`. Raises Malformed, also when the id is not its name's and bytes'."""
    return _parse_vkey(text, _ED25519, "an Ed25519 key (0x01)")


def parse_witness_vkey(text: str) -> VerifierKey:
    """Read the key of a witness, in the same form. Raises Malformed."""
    return _parse_vkey(text, _COSIGNATURE, "a witness's key for Ed25519 cosignatures (0x04)")


def _parse_vkey(text: str, kind: bytes, called: str) -> VerifierKey:
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    require_key_name(name)
    data = decode_base64(encoded, len(kind) + _PUBLIC_KEY_BYTES)
    if not data.startswith(kind):
        raise Malformed(f"it is not {called}")
    key = VerifierKey(name, data.removeprefix(kind), kind)
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
