"""CloudFront's signing key: a private key, with the ID that CloudFront gave its public half, in one file.

A rotation has two steps, because the ID is known only when CloudFront has the public key: beside the file lies its
`.next`, a key without an ID, until somebody says which one it got.
"""

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.storage import keys
from server.storage.keys import KeyFileError

Kind = Literal["ecdsa", "rsa"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEY_PAIR_ID = re.compile(r"[A-Z0-9]{8,32}")
_RSA_BITS = 2048  # the only size that CloudFront takes, as P-256 is its only curve


@dataclass(frozen=True, slots=True)
class CloudFrontKey:
    """By which CloudFront knows that we signed. key_pair_id: CloudFront's name of the public key."""

    key_pair_id: str
    private: PrivateKey = field(repr=False)


def read(path: Path) -> CloudFrontKey:
    """Read `{"key_pair_id": …, "private_key": …}`, the key in PEM.

    Raises KeyFileError when it is missing, open to others, or holds no key that CloudFront takes.
    """
    found = _fields(path)
    key_pair_id = found.get("key_pair_id")
    if not isinstance(key_pair_id, str) or not KEY_PAIR_ID.fullmatch(key_pair_id):
        raise KeyFileError(f"key file {path} has no key_pair_id: write the ID that CloudFront shows of its public key")
    return CloudFrontKey(key_pair_id, _private(path, found))


def prepare(path: Path, kind: Kind) -> tuple[Path, str]:
    """Make the next key, which signs nothing yet; return its file, and its public half in PEM.

    Raises FileExistsError.
    """
    private: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        private = rsa.generate_private_key(65537, _RSA_BITS)
    following = _following(path)
    _write(following, {"private_key": _pem(private)})
    return following, public_pem(private)


def prepared(path: Path) -> str | None:
    """The public half of the next key, in PEM, if there is one. Raises KeyFileError."""
    following = _following(path)
    return public_pem(_private(following, _fields(following))) if following.exists() else None


def take(path: Path, key_pair_id: str) -> str | None:
    """Sign with the next key from now on; return the ID of the one before, if there was one.

    Raises KeyFileError: there is no next key; ValueError: that is no ID, or the one before's.
    """
    if not KEY_PAIR_ID.fullmatch(key_pair_id):
        raise ValueError("that is not the ID of a public key in CloudFront")
    before = read(path).key_pair_id if path.exists() else None
    if before == key_pair_id:
        raise ValueError("that is the ID of the key that signs now")
    following = _following(path)
    private = _private(following, _fields(following))
    whole = path.with_name(f"{path.name}.new")
    whole.unlink(missing_ok=True)  # of an interrupted try
    _write(whole, {"key_pair_id": key_pair_id, "private_key": _pem(private)})
    whole.replace(path)  # who reads it finds one key or the other
    following.unlink()
    _sync(path.parent)
    return before


def public_pem(private: PrivateKey) -> str:
    """What CloudFront is given."""
    public = private.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def _following(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _fields(path: Path) -> dict[str, object]:
    try:
        found = json.loads(keys.read_private(path))
    except ValueError:  # the parser's own message could quote the key
        found = None
    if not isinstance(found, dict):
        raise KeyFileError(f"key file {path} is not JSON: create it with `weightgate-server keys rotate-cloudfront`")
    return found


def _private(path: Path, found: dict[str, object]) -> PrivateKey:
    try:
        private = serialization.load_pem_private_key(str(found.get("private_key")).encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1):
        return private
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size == _RSA_BITS:
        return private
    raise KeyFileError(
        f"key file {path} holds no key that CloudFront takes: ECDSA on P-256 or RSA with {_RSA_BITS} bits, in PEM"
    )


def _pem(private: PrivateKey) -> str:
    plain = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def _write(path: Path, fields: dict[str, str]) -> None:
    keys.write_private(path, json.dumps(fields, indent=2).encode() + b"\n")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
