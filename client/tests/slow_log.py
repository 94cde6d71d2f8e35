"""A log built slowly and plainly from the definitions: what the client's verifier is held against.

Every function is the recursion as the RFC writes it. Nothing here is shared with the client or the server.
"""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class SlowTree:
    """D[n] of RFC 6962, section 2.1, over a growing list of entries."""

    def __init__(self, entries: Sequence[bytes] = ()) -> None:
        self.entries = list(entries)
        self._known: dict[tuple[int, int], bytes] = {}  # only speed: an entry never changes

    def mth(self, start: int, end: int) -> bytes:
        """MTH(D[start:end])."""
        if (start, end) not in self._known:
            self._known[start, end] = self._mth(start, end)
        return self._known[start, end]

    def root(self, size: int) -> bytes:
        return self.mth(0, size)

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        """PATH(index, D[start:end]) of section 2.1.1."""
        if end - start == 1:
            return []
        k = _k(end - start)
        if index < k:
            return [*self.path(index, start, start + k), self.mth(start + k, end)]
        return [*self.path(index - k, start + k, end), self.mth(start, start + k)]

    def proof(self, first: int, size: int) -> list[bytes]:
        """PROOF(first, D[size]) of section 2.1.2."""
        return self._subproof(first, 0, size, True)

    def tile(self, level: int, number: int, size: int) -> bytes:
        """The tile as tlog-tiles defines it, as far as a tree of this size fills it."""
        span = 256**level
        hashes = []
        for i in range(256):
            start = (number * 256 + i) * span
            if start + span <= size:
                hashes.append(self.mth(start, start + span))
        return b"".join(hashes)

    def _mth(self, start: int, end: int) -> bytes:
        if start == end:
            return sha256(b"")
        if end - start == 1:
            return sha256(b"\x00" + self.entries[start])
        k = _k(end - start)
        return sha256(b"\x01" + self.mth(start, start + k) + self.mth(start + k, end))

    def _subproof(self, m: int, start: int, end: int, b: bool) -> list[bytes]:
        if m == end - start:
            return [] if b else [self.mth(start, end)]
        k = _k(end - start)
        if m <= k:
            return [*self._subproof(m, start, start + k, b), self.mth(start + k, end)]
        return [*self._subproof(m - k, start + k, end, False), self.mth(start, start + k)]


class Signer:
    """An Ed25519 key under a name; the same seed gives the same key."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(sha256(seed))
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = sha256(name.encode() + b"\n\x01" + public)[:4]
        typed = b64(b"\x01" + public)
        self.vkey = f"{name}+{self._key_id.hex()}+{typed}"

    def line(self, text: str) -> str:
        return f"— {self.name} {b64(self._key_id + self._private.sign(text.encode()))}\n"

    def note(self, text: str) -> str:
        return f"{text}\n{self.line(text)}"


class Cosigner:
    """A witness's key under a name. Source: C2SP tlog-cosignature, Ed25519 signed message."""

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(sha256(seed))
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = sha256(name.encode() + b"\n\x04" + public)[:4]
        typed = b64(b"\x04" + public)
        self.vkey = f"{name}+{self._key_id.hex()}+{typed}"

    def line(self, note: str, at: int) -> str:
        """Its line under a head; at: seconds since 1970."""
        text = note.partition("\n\n")[0] + "\n"
        signature = self._private.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        return f"— {self.name} {b64(self._key_id + at.to_bytes(8, 'big') + signature)}\n"


def _k(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
