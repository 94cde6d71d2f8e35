"""Signed lists of hashes, made as the format describes them, with whatever fault a test wants."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER_KEY = ec.derive_private_key(8, ec.SECP256R1())
CHUNK_BYTES = 10
CONTENTS = {"a.json": b"{}", "deep/er/b.bin": b"0123456789abcdefghijKLM"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pem(key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def bundle(predicate: dict[str, Any], name: str, key: ec.EllipticCurvePrivateKey = KEY, **changed: Any) -> bytes:
    statement = {
        "_type": "https://in-toto.io/Statement/v1", "subject": [{"name": name, "digest": {"sha256": "0" * 64}}],
        "predicateType": "https://model_signing/signature/v1.0", "predicate": predicate,
    } | changed  # fmt: skip
    kind, payload = "application/vnd.in-toto+json", json.dumps(statement).encode()
    signature = key.sign(b"DSSEv1 %d %s %d " % (len(kind), kind.encode(), len(payload)) + payload, ec.ECDSA(SHA256()))
    envelope = {"payload": b64(payload), "payloadType": kind, "signatures": [{"sig": b64(signature), "keyid": ""}]}
    return json.dumps({"dsseEnvelope": envelope}).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def files_form(digests: dict[str, str] | None = None, key: ec.EllipticCurvePrivateKey = KEY, **changed: Any) -> bytes:
    listed = {path: sha256(content) for path, content in CONTENTS.items()} if digests is None else digests
    resources = [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in listed.items()]
    serialization = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
    return bundle({"resources": resources, "serialization": serialization}, "gpt-2/774M", key, **changed)


def spans() -> dict[str, str]:
    return {
        f"{path}:{begin}:{min(begin + CHUNK_BYTES, len(content))}": sha256(content[begin : begin + CHUNK_BYTES])
        for path, content in CONTENTS.items()
        for begin in range(0, len(content), CHUNK_BYTES)
    }


def chunks_form(
    listed: dict[str, str] | None = None, name: str | None = None, key: ec.EllipticCurvePrivateKey = KEY
) -> bytes:
    """name: None for the one that names the checkpoint of `files_form()`."""
    resources = [
        {"name": span, "algorithm": f"sha256-sharded-{CHUNK_BYTES}", "digest": digest}
        for span, digest in (spans() if listed is None else listed).items()
    ]
    serialization = {
        "method": "shards",
        "shard_size": float(CHUNK_BYTES),
        "hash_type": "sha256",
        "allow_symlinks": False,
    }
    return bundle({"resources": resources, "serialization": serialization}, name or "gpt-2/774M", key)
