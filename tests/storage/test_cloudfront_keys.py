"""CloudFront's key file: made in two steps, private, and only what CloudFront takes."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from server.storage import cloudfront_keys, keys
from server.storage.cloudfront_keys import Kind, PrivateKey
from server.storage.keys import KeyFileError


def pem(private: PrivateKey | ed25519.Ed25519PrivateKey) -> str:
    plain = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_a_key_signs_only_once_cloudfront_has_named_it(tmp_path: Path, kind: Kind) -> None:
    """Its public half is printed first; the file with its ID replaces the one before, whose ID is told."""
    path = tmp_path / "cloudfront.json"
    following, public = cloudfront_keys.prepare(path, kind)
    assert (following.name, path.exists()) == ("cloudfront.json.next", False)
    assert "PRIVATE" not in public
    assert cloudfront_keys.prepared(path) == public
    with pytest.raises(FileExistsError):
        cloudfront_keys.prepare(path, kind)
    assert cloudfront_keys.take(path, "K2JCJMDEHXQW5F") is None
    first = cloudfront_keys.read(path)
    assert (first.key_pair_id, cloudfront_keys.public_pem(first.private)) == ("K2JCJMDEHXQW5F", public)
    assert path.stat().st_mode & 0o777 == 0o600
    assert cloudfront_keys.prepared(path) is None
    cloudfront_keys.prepare(path, kind)
    with pytest.raises(ValueError, match="signs now"):
        cloudfront_keys.take(path, "K2JCJMDEHXQW5F")
    assert cloudfront_keys.take(path, "KSECONDKEY") == "K2JCJMDEHXQW5F"
    assert cloudfront_keys.read(path).key_pair_id == "KSECONDKEY"
    assert [file.name for file in tmp_path.iterdir()] == ["cloudfront.json"]
    assert "PRIVATE" not in repr(first)


@pytest.mark.parametrize("key_pair_id", ["", "k2jcjmdehxqw5f", "K2", "K2JC JMDEHX", "K2JCJMDE&x=1", "K" * 33])
def test_what_is_no_id_is_not_taken(tmp_path: Path, key_pair_id: str) -> None:
    """It would stand in each URL as it is."""
    path = tmp_path / "cloudfront.json"
    cloudfront_keys.prepare(path, "ecdsa")
    with pytest.raises(ValueError, match="not the ID"):
        cloudfront_keys.take(path, key_pair_id)
    assert not path.exists()


def test_a_step_before_the_other_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cloudfront\.json\.next is missing"):
        cloudfront_keys.take(tmp_path / "cloudfront.json", "K2JCJMDEHXQW5F")


BAD = {
    "no JSON": ("K2JCJMDEHXQW5F", None),
    "no ID": (None, pem(ec.generate_private_key(ec.SECP256R1()))),
    "another curve": ("K2JCJMDEHXQW5F", pem(ec.generate_private_key(ec.SECP384R1()))),
    "a short RSA key": ("K2JCJMDEHXQW5F", pem(rsa.generate_private_key(65537, 1024))),  # noqa: S505
    "another kind": ("K2JCJMDEHXQW5F", pem(ed25519.Ed25519PrivateKey.generate())),
    "no key": ("K2JCJMDEHXQW5F", "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cloudfront_could_not_use_is_refused(tmp_path: Path, what: str) -> None:
    """And the message says which, without a letter of the key."""
    key_pair_id, private = BAD[what]
    path = tmp_path / "cloudfront.json"
    content = b"{secret" if private is None else json.dumps({"key_pair_id": key_pair_id, "private_key": private})
    keys.write_private(path, content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KeyFileError, match=r"cloudfront\.json") as refused:
        cloudfront_keys.read(path)
    assert "secret" not in str(refused.value)
    assert "BEGIN" not in str(refused.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cloudfront.json"
    cloudfront_keys.prepare(path, "ecdsa")
    cloudfront_keys.take(path, "K2JCJMDEHXQW5F")
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="readable by others"):
        cloudfront_keys.read(path)
