"""botocore's CloudFront signer as the reference for ours, at the server's start.

An ECDSA signature is another one each time, so botocore is handed ours: it makes the text to be signed and the URL
around it, and the signature is held against the key's public half.
"""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from server.storage.cloudfront_keys import PrivateKey
from server.storage.signing import Recipient
from server.storage.signing_check import SAMPLES, SigningMismatch
from server.storage.signing_cloudfront import HASH, CloudFrontSigner

_SIGNED = re.compile(r"(?P<plain>.*?)&(?P<way>Expires|Policy)=(?P<told>[^&]*)&Signature=(?P<signature>[^&]*)&.*")
_ELSEWHERE = Recipient(address="192.0.2.1")  # an address for documentation (RFC 5737)
_SAFE = str.maketrans("-_~", "+=/")


class _Parts(NamedTuple):
    """A signed URL taken apart. how: what botocore is told of its policy."""

    plain: str
    how: dict[str, Any]
    signature: bytes


def self_check(signer: CloudFrontSigner) -> None:
    """Compare a few of the signer's URLs with botocore's.

    Raises SigningMismatch: the server must not start. No URL is in its text, for it would work.
    """
    for sample in SAMPLES:
        (url,) = signer.sign([sample], download_id="start check", lifetime_seconds=60, recipient=_ELSEWHERE)
        if not _agrees(signer, url):
            raise SigningMismatch(
                "this server's CloudFront signer and botocore disagree, so no link would work: check cloudfront_url "
                "and cloudfront_key_file, and whether botocore was updated"
            )


def _agrees(signer: CloudFrontSigner, url: str) -> bool:
    from botocore.signers import CloudFrontSigner as Reference  # slow to load, and most commands sign nothing

    signed: list[bytes] = []

    def ours(text: bytes) -> bytes:
        signed.append(text)
        return parts.signature

    reference = Reference(signer.key.key_pair_id, ours)
    parts = _taken_apart(url, reference.build_policy)
    expected = reference.generate_presigned_url(parts.plain, **parts.how)
    return url == f"{expected}{HASH}" and _is_signed(signer.key.private, parts.signature, signed[0])


def _taken_apart(url: str, build_policy: Callable[..., str]) -> _Parts:
    found = _SIGNED.fullmatch(url)
    if found is None:
        raise SigningMismatch("a URL for CloudFront is not signed as CloudFront expects it")
    if found["way"] == "Expires":
        how: dict[str, Any] = {"date_less_than": _moment(int(found["told"]))}
    else:
        when = json.loads(_bytes(found["told"]))["Statement"][0]["Condition"]
        how = {"policy": build_policy(
            found["plain"],
            date_less_than=_moment(when["DateLessThan"]["AWS:EpochTime"]),
            date_greater_than=_moment(when["DateGreaterThan"]["AWS:EpochTime"]),
            ip_address=_ELSEWHERE.address,
        )}  # fmt: skip
    return _Parts(found["plain"], how, _bytes(found["signature"]))


def _is_signed(private: PrivateKey, signature: bytes, text: bytes) -> bool:
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey):
            private.public_key().verify(signature, text, ec.ECDSA(hashes.SHA256()))
        else:
            private.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.translate(_SAFE), validate=True)
