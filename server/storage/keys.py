"""Key files: made once, 0600, read by the one process that needs them."""

import base64
import json
import os
import secrets
import ssl
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

SECRET_BYTES = 32


class KeyFileError(Exception):
    """A key file is missing, readable by others, or not a key. The text names the file and the fix, never the key."""


@dataclass(frozen=True)
class S3Credentials:
    """One identity at the object store."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def read_private(path: Path) -> bytes:
    """Return the bytes of a key file. Raises KeyFileError when others may read it: then it is no longer a secret."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(
            f"key file {path} is missing: restore it from a backup; those of a new instance come from "
            "`weightgate-server init`"
        ) from None
    except OSError as error:
        raise KeyFileError(
            f"key file {path} cannot be read by user {os.geteuid()} ({error.strerror}): correct the owner and mode "
            "of the file and its folder"
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(
            f"key file {path} is readable by others (mode {stat.S_IMODE(mode):04o}): run `chmod 600 {path}`"
        )
    return content


def read_public(path: Path) -> bytes:
    """Return the bytes of a file that others may read. Raises KeyFileError when we cannot."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(
            f"file {path} cannot be read by user {os.geteuid()} ({error.strerror}): restore it, or correct the owner "
            "and mode of the file and its folder"
        ) from None


def read_authorities(path: Path) -> bytes:
    """Return the certificates of authorities, in PEM. Raises KeyFileError for a file that TLS could not use."""
    content = read_public(path)
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        raise KeyFileError(f"file {path} contains no certificate in PEM: restore it") from None
    return content


def write_private(path: Path, content: bytes) -> None:
    """Create a key file with mode 0600. Raises FileExistsError: a key is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def new_s3_credentials() -> S3Credentials:
    return S3Credentials(access_key_id="WG" + secrets.token_hex(9).upper(), secret_access_key=secrets.token_urlsafe(32))


def write_s3_credentials(path: Path, credentials: S3Credentials) -> None:
    body = {"access_key_id": credentials.access_key_id, "secret_access_key": credentials.secret_access_key}
    if credentials.session_token is not None:
        body["session_token"] = credentials.session_token
    write_private(path, json.dumps(body, indent=2).encode() + b"\n")


def read_s3_credentials(path: Path) -> S3Credentials:
    """Read `{"access_key_id": …, "secret_access_key": …, "session_token"?: …}`."""
    content = read_private(path)
    try:
        credentials = S3Credentials(**json.loads(content))
    except (ValueError, TypeError):  # the parser's own message could quote the secret
        credentials = S3Credentials("", "")
    if not all(isinstance(part, str) and part for part in (credentials.access_key_id, credentials.secret_access_key)):
        raise KeyFileError(
            f"key file {path} is not an S3 credential: write JSON with access_key_id and secret_access_key"
        )
    return credentials


def write_secret(path: Path) -> None:
    """Create a file with 32 random bytes, for sealing what is secret inside the database."""
    write_private(path, secrets.token_bytes(SECRET_BYTES))


def read_secret(path: Path) -> bytes:
    content = read_private(path)
    if len(content) < SECRET_BYTES:
        raise KeyFileError(
            f"secret file {path} has {len(content)} bytes, but needs at least {SECRET_BYTES} random bytes"
        )
    return content


def write_manifest_key(private: Path, public: Path) -> None:
    """Create the EC P-256 pair that signs manifests (model-signing 1.1.1 cannot use Ed25519)."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    public.write_bytes(public_pem(key))


def read_manifest_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Raises KeyFileError when it is open to others or holds no EC P-256 key."""
    content = read_private(path)
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    # The library would crash on an Ed25519 key, and a partner's command line on any other curve's habits.
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileError(f"key file {path} is not an EC P-256 key in PEM: create it with `weightgate-server init`")
    return key


def read_manifest_public_key(path: Path) -> bytes:
    """Return the PEM. Anybody may read it. Raises KeyFileError when it is missing or no such key."""
    try:
        key = serialization.load_pem_public_key(read_public(path))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyFileError(f"public key file {path} is not an EC P-256 key in PEM: restore it")
    return _pem(key)


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return its public half."""
    return _pem(key.public_key())


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def write_note_key(path: Path) -> None:
    """Create an Ed25519 key for signing notes: heads of the log, or receipts."""
    key = ed25519.Ed25519PrivateKey.generate()
    write_private(
        path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def read_note_key(path: Path) -> ed25519.Ed25519PrivateKey:
    """Raises KeyFileError when it is open to others or holds no Ed25519 key."""
    content = read_private(path)
    try:
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise KeyFileError(f"key file {path} contains no Ed25519 key in PEM: create one with `weightgate-server init`")
    return key


def write_peer_certificate(private: Path, public: Path) -> None:
    """Create a key and the certificate by which processes that share both files know each other, and nobody else.

    It is its own authority, and signs no other. It has no end: whoever runs for years would fall silent on a morning.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    itself = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weightgate")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(itself)
        .issuer_name(itself)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))  # a clock that is set back does not end it either
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))  # RFC 5280, section 4.1.2.5
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(
        private,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    write_private(public, certificate.public_bytes(serialization.Encoding.PEM))


def seal(secret: bytes, purpose: str, content: bytes) -> bytes:
    """Encrypt what the database may hold but a copy of it must not reveal. `purpose` keeps uses apart."""
    return Fernet(derive(secret, purpose)).encrypt(content)


def unseal(secret: bytes, purpose: str, sealed: bytes) -> bytes:
    """Raises KeyFileError when it was sealed with another secret."""
    try:
        return Fernet(derive(secret, purpose)).decrypt(sealed)
    except InvalidToken:
        raise KeyFileError(f"cannot decrypt {purpose}: it was encrypted with a different secret file") from None


def derive(secret: bytes, purpose: str) -> bytes:
    """Return a key of its own for each purpose, from the one secret; as Fernet takes it."""
    key = HKDF(hashes.SHA256(), length=32, salt=None, info=f"weightgate {purpose}".encode()).derive(secret)
    return base64.urlsafe_b64encode(key)
