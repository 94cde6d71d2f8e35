"""Bundles: signed lists of hashes, as the OpenSSF Model Signing library 1.1 writes them, under an EC P-256 key.

A bundle is a DSSE envelope around an in-toto statement. Written from the formats' descriptions; reads nothing but JSON.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from weightgate.log.encoding import load_json_object
from weightgate.verdicts import Malformed

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class NotSigned(Exception):
    """The bundle was not signed by the key."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was signed. name: of the model; chunk_bytes: None in the files form; digests: by the entry's name."""

    name: str
    chunk_bytes: int | None
    digests: dict[str, str]


def load_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Raises Malformed for what is not an EC P-256 key in PEM."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError:
        raise Malformed("it is not a public key in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Malformed("it is not an EC P-256 key")
    return key


def opened(content: bytes, key: ec.EllipticCurvePublicKey) -> Bundle:
    """Return what the bundle says. Raises NotSigned, or Malformed for what the library would not write."""
    payload, signature = _parts(content)
    signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    try:
        key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise NotSigned from None
    return _statement(load_json_object(payload))


def unproven(content: bytes) -> Bundle:
    """Return what the bundle says, whoever signed it: only to find what is checked in another way. Raises Malformed."""
    return _statement(load_json_object(_parts(content)[0]))


def _parts(content: bytes) -> tuple[bytes, bytes]:
    """The payload, and the one signature."""
    try:
        envelope = load_json_object(content)["dsseEnvelope"]
        payload, signatures = _decoded(envelope["payload"]), envelope["signatures"]
        kind, (signature,) = envelope["payloadType"], (_decoded(one["sig"]) for one in signatures)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise Malformed("it is not a signed bundle") from None
    if kind != _PAYLOAD_TYPE:
        raise Malformed("it is a bundle of something else")
    return payload, signature


def _statement(said: dict[str, Any]) -> Bundle:
    try:
        form, resources = said["predicate"]["serialization"], said["predicate"]["resources"]
        chunk_bytes = int(form["shard_size"]) if form["method"] == "shards" else None  # the library writes 67108864.0
        algorithm = "sha256" if chunk_bytes is None else f"sha256-sharded-{chunk_bytes}"
        digests = {one["name"]: one["digest"] for one in resources if one["algorithm"] == algorithm}
        sound = said["predicateType"] == _PREDICATE_TYPE and form["method"] in {"files", "shards"}
        sound = sound and not form.get("ignore_paths") and 0 < len(digests) == len(resources)
        sound = sound and all(isinstance(name, str) and _SHA256.fullmatch(sha256) for name, sha256 in digests.items())
        name = said["subject"][0]["name"]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise Malformed("it is not a list of hashes") from None
    if not sound or not isinstance(name, str):
        raise Malformed("it is not a list with one SHA-256 for each entry")
    return Bundle(name, chunk_bytes, digests)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Malformed("a value is not valid base64") from None


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return what a person compares: the SHA-256 of the key, the hint that bundles carry."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(pem(key))
    return digest.finalize().hex()


def pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
